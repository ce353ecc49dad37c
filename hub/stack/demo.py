"""Follows the examples' evaluation through the REST API, and reports what it measured."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx

from hub.stack.errors import StackError
from hub.stack.examples import Example
from hub.stack.processes import Say

POLL_INTERVAL = 4.0  # seconds; each poll asks for every version
PATIENCE = 600.0  # seconds without any change
SETTLED = frozenset({"evaluated", "failed"})

Row = dict[str, Any]


class Progress:
    """Says what changes while versions are evaluated."""

    def __init__(self, site: httpx.Client, examples: Sequence[Example], say: Say) -> None:
        self._site = site
        self._say = say
        self._waiting = list(examples)
        self._total = len(self._waiting)
        self._status: dict[Example, str] = {}
        self._begun = self.changed = time.monotonic()

    @property
    def done(self) -> bool:
        return not self._waiting

    def poll(self) -> None:
        """Asks once for every version that is not settled."""
        for example in list(self._waiting):
            try:
                answer = self._site.get(example.url)
            except httpx.HTTPError:
                return
            if answer.is_success:
                self._note(example, answer.json())

    def _note(self, example: Example, version: Row) -> None:
        status = version["status"]
        if self._status.get(example) == status:
            return
        self._status[example] = status
        self.changed = time.monotonic()
        if status in SETTLED:
            self._waiting.remove(example)
        fault = f": {version['fault']}" if version.get("fault") else ""
        settled = f"{self._total - len(self._waiting)}/{self._total}"
        seconds = self.changed - self._begun
        self._say(f"[{settled}, {seconds:4.0f} s] {example} {status}{fault}")


def follow(progress: Progress, check: Callable[[], None]) -> None:
    """Returns when every version is settled; calls `check` in between.

    Raises:
        StackError: nothing has changed for `PATIENCE` seconds.
    """
    while not progress.done:
        check()
        progress.poll()
        if time.monotonic() - progress.changed > PATIENCE:
            raise StackError(f"The evaluation has stood still for {PATIENCE:.0f} s; see the logs.")
        if not progress.done:
            time.sleep(POLL_INTERVAL)


def report(site: httpx.Client, examples: Sequence[Example]) -> list[Row]:
    """One row an example, as `demo.json` holds them: an interval is `[low, high]`, a quantity
    that was not measured is null, times are in seconds."""
    return [_row(site, example) for example in examples]


def _row(site: httpx.Client, example: Example) -> Row:
    version = site.get(example.url).raise_for_status().json()
    answer = site.get(f"{example.url}stats/")
    stats = answer.json() if answer.is_success else {}
    return {
        "owner": example.owner,
        "name": example.name,
        "version": example.version,
        "format": version.get("format"),
        "sandbox": stats.get("sandbox"),
        "status": version["status"],
        "fault": version.get("fault") or None,
        "tasks": stats.get("tasks"),
        "rollouts": stats.get("rollouts"),
        "mean_reward": _value(stats, "mean_reward"),
        "mean_reward_interval": _interval(stats, "mean_reward"),
        "pass_at_1": _value(stats, "pass_at_1"),
        "pass_at_1_interval": _interval(stats, "pass_at_1"),
        "signal": _value(stats, "signal"),
        "signal_interval": _interval(stats, "signal"),
        "group": stats.get("group"),
        "vs2_128": _value(stats, "vs2_128"),
        "vs2_128_interval": _interval(stats, "vs2_128"),
        "seconds": stats.get("seconds"),
        "tokens": stats.get("tokens"),
    }


def write(path: Path, rows: Sequence[Row]) -> None:
    """Writes the rows as JSON, whole or not at all."""
    unfinished = path.with_suffix(".tmp")
    unfinished.write_text(json.dumps(list(rows), indent=2) + "\n")
    unfinished.replace(path)


def table(rows: Sequence[Row]) -> str:
    """The rows for people to read."""
    head = ["environment", "format", "sandbox", "status", "T", "rollouts", "mean reward"]
    head += ["pass@1", "signal@G", "G", "VS2@128", "s", "tokens"]
    lines = [head, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _cells(row: Row) -> list[str]:
    name = f"{row['owner']}/{row['name']} {row['version']}"
    plain = [_text(row[key]) for key in ("format", "sandbox", "status", "tasks", "rollouts")]
    measured = [_estimate(row, key) for key in ("mean_reward", "pass_at_1", "signal")]
    diversity = _estimate(row, "vs2_128")
    return [
        name,
        *plain,
        *measured,
        _text(row["group"]),
        diversity,
        _text(row["seconds"]),
        _text(row["tokens"]),
    ]


def _value(stats: Row, key: str) -> float | None:
    return (stats.get(key) or {}).get("value")


def _interval(stats: Row, key: str) -> list[float] | None:
    found = stats.get(key) or {}
    low, high = found.get("low"), found.get("high")
    return None if low is None or high is None else [low, high]


def _estimate(row: Row, key: str) -> str:
    value, interval = row[key], row[f"{key}_interval"]
    if value is None:
        return "-"
    return f"{value:.3f}" + (f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else "")


def _text(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if isinstance(value, float) else str(value)
