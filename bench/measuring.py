"""What the measurements share: several ways in turn, medians, ratios and a table."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence


def in_turn(ways: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """What each way gives in each round.

    One round of every way, each beginning with another, comes first and does not count. A machine
    that slows down half-way so slows all of them.
    """
    names = list(ways)
    found: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds + 1):
        at = number % len(names)
        for name in names[at:] + names[:at]:
            value = ways[name]()
            if number:
                found[name].append(value)
    return found


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios within each round."""
    return statistics.median(one / other for one, other in zip(ours, theirs, strict=True))


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def machine() -> dict[str, object]:
    """Where this ran, and how busy it was: the load is that of the last minute."""
    return {
        "python": platform.python_version(),
        "kernel": platform.release(),
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 2),
    }


def spread(found: Sequence[float]) -> dict[str, float]:
    """Least, median and most of `count` measurements."""
    return {
        "least": min(found),
        "median": statistics.median(found),
        "most": max(found),
        "count": len(found),
    }


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns as wide as they need to be; the first to the left, numbers to the right."""
    lines = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "  ".join(
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
