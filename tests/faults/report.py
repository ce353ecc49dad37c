"""What a run found, for people and as JSON."""

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

SHOWN = 10  # violations of one invariant that the table spells out
_BEGAN = time.monotonic()


def say(text: str) -> None:
    """One line of progress; standard output is the report's."""
    sys.stderr.write(f"{time.monotonic() - _BEGAN:6.1f}  {text}\n")
    sys.stderr.flush()


@dataclass
class Check:
    """One invariant: how many things were looked at, and what broke it."""

    name: str
    promise: str
    checked: int = 0
    violations: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def expect(self, holds: bool, violation: str) -> bool:
        """Counts one thing looked at, and a violation if it does not hold."""
        self.checked += 1
        if not holds:
            self.violations.append(violation)
        return holds


@dataclass(frozen=True)
class FaultRow:
    """How often a fault was injected, and what it met how often."""

    name: str
    injected: int
    met: dict[str, int]


@dataclass(frozen=True)
class Report:
    """A whole run."""

    seed: int
    seconds: float
    evaluations: dict[str, int]
    answers: dict[int, int]
    faults: Sequence[FaultRow]
    checks: Sequence[Check]

    @property
    def passed(self) -> bool:
        return not any(check.violations for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"passed": self.passed}

    def text(self) -> str:
        """The table."""
        faults = [(row.name, str(row.injected), _met(row.met)) for row in self.faults]
        checks = [
            (f"{check.name} {check.promise}", str(check.checked), str(len(check.violations)))
            for check in self.checks
        ]
        lines = [
            f"seed {self.seed}, {self.seconds:.0f} s, evaluations: {_met(self.evaluations)}",
            f"answers to uploads: {_met(self.answers)}",
            "",
            *_table(("fault", "times", "what it met"), faults),
            "",
            *_table(("invariant", "checked", "violations"), checks),
        ]
        for check in self.checks:
            lines += [f"{check.name} note: {note}" for note in check.notes]
            lines += [f"{check.name} VIOLATED: {text}" for text in check.violations[:SHOWN]]
        return "\n".join([*lines, "", "passed" if self.passed else "FAILED"])


def _met(counts: Any) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))
    return ", ".join(f"{what} {times}" for what, times in ordered)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    ]
