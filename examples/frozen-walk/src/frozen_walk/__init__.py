"""Gymnasium's FrozenLake, without the slipping, told in words and walked one step a turn."""

import random
import re
from collections import deque
from typing import Any

import gymnasium

TURNS = 4
SIZE = 3
# The numbers of FrozenLake's actions.
MOVES = {"left": 0, "down": 1, "right": 2, "up": 3}
_MOVE = re.compile(r"\b(left|down|right|up)\b", re.IGNORECASE)
_OFFSETS = {"left": (0, -1), "down": (1, 0), "right": (0, 1), "up": (-1, 0)}

Cell = tuple[int, int]

OPENINGS = (
    "You stand on a frozen pond and want to reach the goal.",
    "Walk over the ice to the goal; keep off the holes.",
    "A penguin crosses the ice. It must not fall into a hole on its way to the goal.",
    "Guide the robot across the frozen lake to the goal.",
    "The ice has holes. Find a safe way to the goal.",
)


class FrozenWalk:
    """One walk of at most `TURNS` steps.

    The rewards sum to 1 at the goal, to 0 in a hole, and otherwise to half the share of the
    way that has been covered.
    """

    system_prompt = "Reply with one direction."

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._lake: gymnasium.Env[int, int] | None = None
        self._at: Cell = (0, 0)
        self._steps: dict[Cell, int] = {}
        self._length = self._turns = 0
        self._paid = 0.0

    def reset(self, seed: int | None = None) -> tuple[str, dict[str, Any]]:
        """Start walk `seed`; `info["gold"]` is a list of replies that wins."""
        rng = random.Random(seed)
        self._lines, self._at = _pond(rng)
        self._lake = gymnasium.make("FrozenLake-v1", desc=self._lines, is_slippery=False)
        self._lake.reset(seed=seed)
        self._steps = _distances(self._lines)
        self._length, self._turns, self._paid = self._steps[self._at], 0, 0.0
        directions = rng.sample(list(MOVES), len(MOVES))
        question = f"{', '.join(directions[:3])} or {directions[3]}?"
        return f"{rng.choice(OPENINGS)}\n{self._shown()}\n{question.capitalize()}", {
            "gold": self._way()
        }

    def step(self, text: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Take the first direction in `text`; text without one uses up a turn."""
        if self._lake is None:
            raise RuntimeError("Call reset before step.")
        self._turns += 1
        named = _MOVE.search(text)
        ended = arrived = False
        if named:
            place, arriving, ended, _, _ = self._lake.step(MOVES[named[1].lower()])
            self._at, arrived = divmod(int(place), SIZE), float(arriving) > 0
        score = self._score(ended=ended, arrived=arrived)
        reward, self._paid = score - self._paid, score
        reply = self._reply(named is not None, ended=ended, arrived=arrived)
        return reply, reward, ended, not ended and self._turns >= TURNS, {}

    def _score(self, *, ended: bool, arrived: bool) -> float:
        """In 64ths, so that rewards add up without rounding."""
        if ended:
            return float(arrived)
        covered = max(0, self._length - self._steps[self._at]) / self._length
        return int(32 * covered) / 64

    def _reply(self, moved: bool, *, ended: bool, arrived: bool) -> str:
        if ended:
            return "You are at the goal!" if arrived else "You fell into a hole."
        if not moved:
            return "Left, right, up or down?"
        return f"{self._shown()}\nWhich way next?"

    def _shown(self) -> str:
        names = {"S": "ice", "F": "ice", "H": "hole", "G": "goal"}
        rows = [
            [
                "you" if (row, column) == self._at else names[mark]
                for column, mark in enumerate(line)
            ]
            for row, line in enumerate(self._lines)
        ]
        return "\n".join(" | ".join(row) for row in rows)

    def _way(self) -> list[str]:
        """A shortest way from here to the goal."""
        way, (row, column) = [], self._at
        while self._steps[row, column]:
            for move, (down, right) in _OFFSETS.items():
                there = (row + down, column + right)
                if self._steps.get(there) == self._steps[row, column] - 1:
                    way.append(move)
                    row, column = there
                    break
        return way


def make() -> FrozenWalk:
    """The environment."""
    return FrozenWalk()


def _pond(rng: random.Random) -> tuple[list[str], Cell]:
    """The lines of a pond whose goal is two to four steps away, and where the walk starts."""
    while True:
        start, goal, *holes = rng.sample(range(SIZE * SIZE), rng.choice((3, 4, 5)))
        marks = ["F"] * SIZE * SIZE
        for place, mark in [(start, "S"), (goal, "G"), *((hole, "H") for hole in holes)]:
            marks[place] = mark
        lines = ["".join(marks[at : at + SIZE]) for at in range(0, SIZE * SIZE, SIZE)]
        at = divmod(start, SIZE)
        if 2 <= _distances(lines).get(at, 0) <= TURNS:
            return lines, at


def _distances(lines: list[str]) -> dict[Cell, int]:
    """Steps to the goal from every cell that can reach it; breadth first from the goal."""
    dry = {
        (row, column): mark for row, line in enumerate(lines) for column, mark in enumerate(line)
    }
    goal = next(cell for cell, mark in dry.items() if mark == "G")
    steps, queue = {goal: 0}, deque([goal])
    while queue:
        row, column = queue.popleft()
        for down, right in _OFFSETS.values():
            there = (row + down, column + right)
            if dry.get(there, "H") != "H" and there not in steps:
                steps[there] = steps[row, column] + 1
                queue.append(there)
    return steps
