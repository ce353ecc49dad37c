"""A 4x4 sudoku with four gaps, filled over several turns; what clashes can be taken back."""

import random
import re
from typing import Any

from constraint import AllDifferentConstraint, Problem

TURNS = 4
GAPS = "abcd"
SIZE = 4
_ENTRY = re.compile(r"\b([a-d])\s*(?:=|:|is)\s*([1-4])\b", re.IGNORECASE)
_NUMBER = re.compile(r"(?<!\d)[1-4](?!\d)")

Cell = tuple[int, int]
Grid = dict[Cell, int]

CELLS: list[Cell] = [(row, column) for row in range(SIZE) for column in range(SIZE)]
UNITS: list[list[Cell]] = [
    *([(row, column) for column in range(SIZE)] for row in range(SIZE)),
    *([(row, column) for row in range(SIZE)] for column in range(SIZE)),
    *(
        [(top + row, left + column) for row in range(2) for column in range(2)]
        for top in (0, 2)
        for left in (0, 2)
    ),
]
REQUESTS = (
    "Each row, column and 2x2 corner must hold 1, 2, 3 and 4. Which number is {gap}?",
    "Fill the gaps, no number (1-4) twice in a row, column or quarter. What is {gap}?",
    "A tiny sudoku of the numbers 1-4. Find {gap} first.",
    "No row, no column and no 2x2 block may repeat a number (1-4). Replace {gap}.",
)


class MiniSudoku:
    """One puzzle, `TURNS` turns.

    After every turn the rewards so far sum to the share of the gaps that hold the right number:
    a wrong entry can be taken back by naming its gap again.
    """

    system_prompt = "Reply with one number, or with several like a=1, c=2."

    def __init__(self) -> None:
        self._solution: Grid = {}
        self._gaps: dict[str, Cell] = {}
        self._filled: dict[str, int] = {}
        self._turns = 0

    def reset(self, seed: int | None = None) -> tuple[str, dict[str, Any]]:
        """Start puzzle `seed`; `info["gold"]` is a list of replies that wins."""
        rng = random.Random(seed)
        self._solution, self._gaps = _puzzle(rng)
        self._filled, self._turns = {}, 0
        request = rng.choice(REQUESTS).format(gap=self._asked())
        gold = ", ".join(f"{gap}={self._solution[cell]}" for gap, cell in self._gaps.items())
        return f"{self._shown()}\n{request}", {"gold": [gold]}

    def step(self, text: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Enter every "gap=number" of `text`; of several for one gap the last counts.

        If there is none, the first number from 1 to 4 goes into the gap that was asked for.
        """
        before = self._right()
        entries = {gap.lower(): int(number) for gap, number in _ENTRY.findall(text)}
        bare = _NUMBER.search(text)
        if not entries and bare:
            entries = {self._asked(): int(bare[0])}
        self._filled.update(entries)
        self._turns += 1
        right = self._right()
        solved = right == len(GAPS)
        reward = (right - before) / len(GAPS)
        return self._reply(), reward, solved, not solved and self._turns >= TURNS, {}

    def _right(self) -> int:
        return sum(
            self._solution[self._gaps[gap]] == number for gap, number in self._filled.items()
        )

    def _reply(self) -> str:
        if self._right() == len(GAPS):
            return "Solved!"
        clashing = [f"{gap}={number}" for gap, number in self._filled.items() if self._clashes(gap)]
        told = f"Clash: {', '.join(clashing)}. " if clashing else ""
        return f"{self._shown()}\n{told}What is {self._asked()}?"

    def _asked(self) -> str:
        """The gap to ask for: the first that clashes, else the first that is open."""
        doubtful = [gap for gap in self._filled if self._clashes(gap)]
        return min(doubtful or [gap for gap in GAPS if gap not in self._filled])

    def _clashes(self, gap: str) -> bool:
        """Whether the number in `gap` stands elsewhere in its row, column or block."""
        grid = self._current()
        cell = self._gaps[gap]
        seen = {other for unit in UNITS if cell in unit for other in unit if other != cell}
        return any(grid.get(other) == self._filled[gap] for other in seen)

    def _current(self) -> Grid:
        open_cells = set(self._gaps.values())
        given = {cell: n for cell, n in self._solution.items() if cell not in open_cells}
        return given | {self._gaps[gap]: number for gap, number in self._filled.items()}

    def _shown(self) -> str:
        names: dict[Cell, str] = {cell: gap for gap, cell in self._gaps.items()}
        shown = names | {cell: str(number) for cell, number in self._current().items()}
        return "\n".join(
            " ".join(shown[row, column] for column in range(SIZE)) for row in range(SIZE)
        )


def make() -> MiniSudoku:
    """The environment."""
    return MiniSudoku()


def _puzzle(rng: random.Random) -> tuple[Grid, dict[str, Cell]]:
    """A solved grid, and four of its cells that the others determine, under their names."""
    while True:
        solution = _solved(rng)
        gaps = sorted(rng.sample(CELLS, len(GAPS)))
        given = {cell: number for cell, number in solution.items() if cell not in gaps}
        if len(_solutions(given)) == 1:
            return solution, dict(zip(GAPS, gaps, strict=True))


def _solved(rng: random.Random) -> Grid:
    """A random solved grid: a fixed one with its numbers, bands and the lines in them shuffled."""
    digits = rng.sample(range(1, SIZE + 1), SIZE)
    rows, columns = _lines(rng), _lines(rng)
    return {
        (row, column): digits[(2 * (rows[row] % 2) + rows[row] // 2 + columns[column]) % SIZE]
        for row, column in CELLS
    }


def _lines(rng: random.Random) -> list[int]:
    bands = rng.sample([[0, 1], [2, 3]], 2)
    return [line for band in bands for line in rng.sample(band, 2)]


def _solutions(given: Grid) -> list[Grid]:
    problem = Problem()
    for cell in CELLS:
        problem.addVariable(cell, [given[cell]] if cell in given else range(1, SIZE + 1))
    for unit in UNITS:
        problem.addConstraint(AllDifferentConstraint(), unit)
    found: list[Grid] = problem.getSolutions()
    return found
