"""Four short statements of one kind, one of them false: the reader has to check each.

Which line is false is drawn evenly from the four, so no constant answer earns more than a quarter.
"""

import random
import re
from collections.abc import Callable
from typing import Any

TASKS = 1_000_000
LINES = 4
_LINE = re.compile(r"(?:line|number|statement)\s*#?([1-4])\b", re.IGNORECASE)
_DIGIT = re.compile(r"(?<!\d)([1-4])(?!\d)")

Statement = Callable[[random.Random, bool], str]

LEGS = {"dog": 4, "spider": 8, "hen": 2, "ant": 6, "snake": 0, "horse": 4, "bee": 6, "duck": 2}
COLOURS = {
    "Grass": "green",
    "Snow": "white",
    "Coal": "black",
    "A ripe banana": "yellow",
    "Blood": "red",
    "A clear sky": "blue",
    "A carrot": "orange",
    "Chocolate": "brown",
}
PLURALS = {
    "mouse": "mice",
    "foot": "feet",
    "child": "children",
    "goose": "geese",
    "box": "boxes",
    "leaf": "leaves",
    "city": "cities",
    "tooth": "teeth",
}
CAPITALS = {
    "France": "Paris",
    "Japan": "Tokyo",
    "Egypt": "Cairo",
    "Italy": "Rome",
    "Kenya": "Nairobi",
    "Peru": "Lima",
    "Norway": "Oslo",
    "Cuba": "Havana",
}
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def _sum(rng: random.Random, true: bool) -> str:
    left, right = rng.randint(2, 9), rng.randint(2, 9)
    return f"{left} + {right} = {left + right + (0 if true else rng.choice((-2, -1, 1, 2)))}"


def _product(rng: random.Random, true: bool) -> str:
    left, right = rng.randint(2, 5), rng.randint(2, 5)
    return f"{left} x {right} = {left * right + (0 if true else rng.choice((-1, 1, 3)))}"


def _larger(rng: random.Random, true: bool) -> str:
    small, large = sorted(rng.sample(range(10, 99), 2))
    return f"{large} is more than {small}" if true else f"{small} is more than {large}"


def _day(rng: random.Random, true: bool) -> str:
    day = rng.randrange(7)
    ahead = 1 if true else rng.choice((2, 3, 4, 5))
    return f"{DAYS[(day + ahead) % 7]} follows {DAYS[day]}"


def _letter(rng: random.Random, true: bool) -> str:
    first, second = sorted(rng.sample("abcdefghijklmnopqrstuvwxyz", 2))
    early, late = (first, second) if true else (second, first)
    return f"{early} comes before {late} in the alphabet"


def _fact(table: dict[str, Any], pattern: str) -> Statement:
    def state(rng: random.Random, true: bool) -> str:
        key = rng.choice(list(table))
        wrong = sorted({value for value in table.values() if value != table[key]})
        return pattern.format(key, table[key] if true else rng.choice(wrong))

    return state


KINDS: tuple[tuple[str, Statement], ...] = (
    ("Three of these sums are right. Which line is wrong?", _sum),
    ("Find the animal with the wrong number of legs.", _fact(LEGS, "A {} has {} legs")),
    ("One product was miscalculated. Which one?", _product),
    ("Which line gives something a wrong colour?", _fact(COLOURS, "{} is {}")),
    ("One comparison does not hold. Which?", _larger),
    ("Somebody mixed up a plural. In which line?", _fact(PLURALS, "one {}, two {}")),
    ("A calendar has one error. Where?", _day),
    ("Which capital city is not right?", _fact(CAPITALS, "{}: {}")),
    ("Spot the pair of letters in false order.", _letter),
)


class SpotTheSlip:
    """`TASKS` lists of statements; list i depends on i alone."""

    system_prompt = "Answer with the number of one line."

    def __len__(self) -> int:
        return TASKS

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Task `index` as `{"question", "answer", "metadata"}`; IndexError outside 0..TASKS-1."""
        if not 0 <= index < TASKS:
            raise IndexError(f"There are tasks 0 to {TASKS - 1}, not {index}.")
        rng = random.Random(index)
        request, state = KINDS[index % len(KINDS)]
        slip = rng.randint(1, LINES)
        lines: list[str] = []
        while len(lines) < LINES:
            line = state(rng, len(lines) + 1 != slip)
            if line not in lines:
                lines.append(line)
        listed = "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1))
        return {"question": f"{request}\n{listed}", "answer": str(slip), "metadata": {}}

    def score_answer(self, answer: str, entry: dict[str, Any]) -> float:
        """1 if the answer names the false line, else 0; "line N" counts before a bare digit."""
        named = _LINE.search(answer) or _DIGIT.search(answer)
        return float(named is not None and named[1] == entry["answer"])


def make() -> SpotTheSlip:
    """The environment."""
    return SpotTheSlip()
