"""A hidden number, a range, and a reply of "higher" or "lower" to every guess."""

import math
import random
import re
from typing import Any

GUESSES = 4
# With 15 candidates halving always gets there in four guesses.
WIDTH = 15
_NUMBER = re.compile(r"(?<![\d.])\d+")

SETTINGS = (
    "I am thinking of a whole number from {low} to {high}. What is your guess?",
    "My locker has a number between {low} and {high}, both included. Guess it.",
    "Somewhere on pages {low} to {high} there is a map. Which page shall we try?",
    "The treasure lies at one of the steps {low} to {high}. Where do we dig?",
    "Our new neighbours live at a house numbered {low} to {high}. Try one.",
    "A jar holds at least {low} and at most {high} sweets. How many do you think?",
    "The bus I need has a number in the range {low} to {high}. Which could it be?",
    "Grandpa hid a key in drawer {low}, or {high}, or one in between. Open one.",
    "The secret code is a number, no less than {low}, no more than {high}. Enter a code.",
    "Today's temperature will be {low} to {high} degrees. Make a forecast.",
)


class NumberHunt:
    """One hunt of at most `GUESSES` guesses.

    The rewards of an episode sum to 1 if the number is found; otherwise to half the share of
    the uncertainty (in bits) that the guesses removed.
    """

    system_prompt = "Reply with one number."

    def __init__(self) -> None:
        self._low = self._high = self._hidden = self._turns = 0
        self._paid = 0.0

    def reset(self, seed: int | None = None) -> tuple[str, dict[str, Any]]:
        """Start hunt `seed`; `info["gold"]` is a list of replies that wins."""
        rng = random.Random(seed)
        self._low = rng.randint(1, 60)
        self._high = self._low + WIDTH - 1
        self._hidden = rng.randint(self._low, self._high)
        self._turns, self._paid = 0, 0.0
        setting = rng.choice(SETTINGS) if seed is None else SETTINGS[seed % len(SETTINGS)]
        question = setting.format(low=self._low, high=self._high)
        return question, {"gold": [str(self._hidden)]}

    def step(self, text: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Take the first number of `text` as the guess; text without one uses up a turn."""
        self._turns += 1
        found = _NUMBER.search(text)
        guess = int(found[0][:9]) if found else None
        hint = self._narrow(guess)
        won = guess == self._hidden
        score = 1.0 if won else self._progress()
        reward, self._paid = score - self._paid, score
        return hint, reward, won, not won and self._turns >= GUESSES, {}

    def _narrow(self, guess: int | None) -> str:
        if guess is None:
            return "Please give a number."
        if guess == self._hidden:
            self._low = self._high = guess
            return f"Yes, {guess}!"
        if guess < self._hidden:
            self._low = max(self._low, guess + 1)
            return f"Higher than {guess}."
        self._high = min(self._high, guess - 1)
        return f"Lower than {guess}."

    def _progress(self) -> float:
        """Half the share of bits gained, in 64ths so that rewards add up without rounding."""
        left = math.log2(self._high - self._low + 1) / math.log2(WIDTH)
        return math.floor(32 * (1 - left)) / 64


def make() -> NumberHunt:
    """The environment."""
    return NumberHunt()
