"""Three people, three statements, and exactly one of them is true (or exactly one false)."""

import random
import re
from collections.abc import Callable
from typing import Any

TASKS = 1_000_000

NAMES = (
    *("Ann", "Bob", "Cleo", "Dan", "Eve", "Finn", "Gina", "Hugo", "Iris", "Jack", "Kim"),
    *("Leo", "Mona", "Nick", "Olga", "Paul", "Rosa", "Sam", "Tess", "Vera", "Will", "Zoe"),
)
# Who is honest, by place: (True, False, False) means the first one alone.
World = tuple[bool, ...]
# Whether a claim is true: of a world, its speaker and the two others.
Claim = Callable[[World, int, int, int], bool]

ONE_HONEST = (
    "Exactly one of these three tells the truth:",
    "Two of them lie, one is honest.",
    "Only one of the following is a truthful person.",
    "On this island everybody lies except one:",
)
ONE_LIAR = (
    "Exactly one of these three lies:",
    "Two of them are honest, one is not.",
    "There is a single liar here.",
    "A detective knows that one witness lied and two did not.",
)
CLAIMS: dict[str, Claim] = {
    "{b} lies.": lambda w, a, b, c: not w[b],
    "{b} is honest.": lambda w, a, b, c: w[b],
    "{b} or {c} lies.": lambda w, a, b, c: not (w[b] and w[c]),
    "Neither {b} nor {c} is honest.": lambda w, a, b, c: not (w[b] or w[c]),
    "{b} and {c} are the same kind.": lambda w, a, b, c: w[b] == w[c],
    "{b} and I are different.": lambda w, a, b, c: w[b] != w[a],
    "I am like {b}.": lambda w, a, b, c: w[b] == w[a],
}


class OneTruthTeller:
    """`TASKS` riddles; riddle i depends on i alone and has one answer, each person as often."""

    system_prompt = "Answer with one name."

    def __len__(self) -> int:
        return TASKS

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Task `index` as `{"question", "answer", "metadata"}`; IndexError outside 0..TASKS-1."""
        if not 0 <= index < TASKS:
            raise IndexError(f"There are tasks 0 to {TASKS - 1}, not {index}.")
        rng = random.Random(index)
        names = rng.sample(NAMES, 3)
        honest = index % 2 == 0
        who = rng.randrange(3)
        said = _statements(rng, who, honest)
        lines = [
            f'{name}: "{text.format(b=names[b], c=names[c])}"'
            for name, (text, b, c) in zip(names, said, strict=True)
        ]
        opening = rng.choice(ONE_HONEST if honest else ONE_LIAR)
        asked = "Who tells the truth?" if honest else "Who lies?"
        return {
            "question": "\n".join([opening, *lines, asked]),
            "answer": names[who],
            "metadata": {"names": names},
        }

    def score_answer(self, answer: str, entry: dict[str, Any]) -> float:
        """1 if the last of the three names in the answer is the right one, else 0."""
        names = entry["metadata"]["names"]
        named = [word for word in re.findall(r"[A-Za-z]+", answer) if word in names]
        return float(bool(named) and named[-1] == entry["answer"])


def make() -> OneTruthTeller:
    """The environment."""
    return OneTruthTeller()


def _statements(rng: random.Random, who: int, honest: bool) -> list[tuple[str, int, int]]:
    """A claim of each person, with whom it is about, that only the world of `who` fits."""
    while True:
        said = []
        for speaker in range(3):
            b, c = rng.sample([other for other in range(3) if other != speaker], 2)
            said.append((rng.choice(list(CLAIMS)), b, c))
        worlds = [tuple((place == odd) == honest for place in range(3)) for odd in range(3)]
        if [odd for odd, world in enumerate(worlds) if _fits(world, said)] == [who]:
            return said


def _fits(world: World, said: list[tuple[str, int, int]]) -> bool:
    """Whether in `world` the honest say true and the others false things."""
    return all(
        CLAIMS[text](world, speaker, b, c) == world[speaker]
        for speaker, (text, b, c) in enumerate(said)
    )
