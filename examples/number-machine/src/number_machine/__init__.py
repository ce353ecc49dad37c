"""Stories told forwards that have to be read backwards.

A hidden number is changed once or twice and only the outcome is told. Undoing the changes,
last one first, gives the number at the start.
"""

import random
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

TASKS = 1_000_000
_NUMBER = re.compile(r"(?<![\d.])-?\d+(?:\.\d+)?")


@dataclass(frozen=True)
class Story:
    """A setting: its opening, how the number grows and shrinks, its outcome, the question."""

    opening: str
    more: str
    less: str
    outcome: str
    question: str


STORIES = (
    Story(
        "Some people are on a bus.",
        "At the next stop {n} get on.",
        "Then {n} get off.",
        "Now there are {n} people on the bus.",
        "How many were there at first?",
    ),
    Story(
        "A farmer keeps some hens.",
        "She buys {n} more.",
        "A fox takes {n}.",
        "She counts {n} hens.",
        "How many hens did she have to begin with?",
    ),
    Story(
        "Omar has a pile of books.",
        "A friend gives him {n}.",
        "He sells {n}.",
        "His pile now has {n} books.",
        "What was the size of the pile at the start?",
    ),
    Story(
        "I think of a number.",
        "I add {n}.",
        "I subtract {n}.",
        "The result is {n}.",
        "Which number did I think of?",
    ),
    Story(
        "It was cold in the morning.",
        "The temperature rose by {n} degrees.",
        "Later it fell by {n} degrees.",
        "In the evening it was {n} degrees.",
        "What was the temperature in the morning?",
    ),
    Story(
        "Lena saves coins in a jar.",
        "On Monday she puts {n} in.",
        "On Friday she spends {n}.",
        "On Sunday the jar holds {n} coins.",
        "How many coins were in the jar before that?",
    ),
    Story(
        "A lift stops somewhere in a tall building.",
        "It goes up {n} floors.",
        "It comes down {n} floors.",
        "It is now at floor {n}.",
        "At which floor was it before?",
    ),
    Story(
        "A baker has a tray of rolls.",
        "She bakes {n} extra rolls.",
        "Customers buy {n} rolls.",
        "There are {n} rolls on the tray.",
        "How many rolls were on the tray first?",
    ),
    Story(
        "Our team had some points.",
        "We scored {n} points.",
        "The referee took {n} points away.",
        "We finished with {n} points.",
        "How many points did we have before?",
    ),
    Story(
        "A library shelf holds magazines.",
        "Readers return {n} of them.",
        "Someone borrows {n}.",
        "That leaves {n} magazines.",
        "How many magazines stood there originally?",
    ),
)


class NumberMachine:
    """`TASKS` stories; story i depends on i alone."""

    system_prompt = (
        "Q: I lost 4 cups and have 6. Before?\nA: 10\nQ: I got 5 cups and have 8. Before?\nA: 3"
    )

    def __len__(self) -> int:
        return TASKS

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Task `index` as `{"question", "answer", "metadata"}`; IndexError outside 0..TASKS-1."""
        if not 0 <= index < TASKS:
            raise IndexError(f"There are tasks 0 to {TASKS - 1}, not {index}.")
        rng = random.Random(index)
        story = STORIES[index % len(STORIES)]
        values = _values(rng)
        steps = [
            (story.more if after > before else story.less).format(n=abs(after - before))
            for before, after in pairwise(values)
        ]
        told = " ".join([story.opening, *steps, story.outcome.format(n=values[-1])])
        return {
            "question": f"Q: {told} {story.question}\nA:",
            "answer": str(values[0]),
            "metadata": {"values": values},
        }

    def score_answer(self, answer: str, entry: dict[str, Any]) -> float:
        """1 for the first number, 0.5 for having undone the last of two changes, else 0.

        A number that is off by 1 earns 0.25. Of the numbers in the answer the last one counts;
        what follows a further "Q:" does not belong to it.
        """
        numbers = _NUMBER.findall(answer.split("\nQ:", maxsplit=1)[0])
        if not numbers:
            return 0.0
        given = float(numbers[-1])
        first, *between, _ = entry["metadata"]["values"]
        if given == first:
            return 1.0
        if given in between:
            return 0.5
        return 0.25 if abs(given - first) <= 1 else 0.0


def make() -> NumberMachine:
    """The environment."""
    return NumberMachine()


def _values(rng: random.Random) -> list[int]:
    """The numbers of a story in order, 2 or 3 of them, all different and 1 to 29."""
    while True:
        values = [rng.randint(2, 20)]
        for _ in range(rng.choice((1, 1, 1, 2))):
            values.append(rng.choice([n for n in range(1, 30) if 2 <= abs(n - values[-1]) <= 9]))
        # No number that is told may be an answer, or an echo would be rewarded.
        told = {values[-1], *(abs(after - before) for before, after in pairwise(values))}
        apart = len(set(values)) == len(values) and abs(values[-1] - values[0]) > 1
        if apart and told.isdisjoint(values[:-1]):
            return values
