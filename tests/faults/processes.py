"""Finding the fault run's processes in /proc, and stopping or killing them."""

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

TETHER = "hub/stack/tether.py"


@dataclass(frozen=True)
class Process:
    """One process, as it was when it was looked at."""

    pid: int
    parent: int
    state: str
    command: str

    @property
    def is_tether(self) -> bool:
        return TETHER in self.command


def every() -> dict[int, Process]:
    """All processes of this PID namespace that are not kernel threads or already dead."""
    found = (_read(folder) for folder in Path("/proc").glob("[0-9]*"))
    return {process.pid: process for process in found if process is not None}


def main_of(word: str) -> int | None:
    """The program that a tether was told to run with this word; None if it is not up."""
    processes = every()
    for process in processes.values():
        parent = processes.get(process.parent)
        if parent is not None and parent.is_tether and word in parent.command.split("\0"):
            return process.pid
    return None


def children_of(pid: int) -> list[int]:
    return [process.pid for process in every().values() if process.parent == pid]


def tree_of(pid: int) -> list[int]:
    """A process and all that descend from it, parents first."""
    return list(_descend(pid, every()))


def send(number: signal.Signals, pids: Iterable[int]) -> None:
    """Sends a signal to each that still lives."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _descend(pid: int, processes: dict[int, Process]) -> Iterator[int]:
    yield pid
    for process in processes.values():
        if process.parent == pid:
            yield from _descend(process.pid, processes)


def _read(folder: Path) -> Process | None:
    try:
        state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
        command = (folder / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return None
    if state == "Z" or not command:
        return None
    return Process(int(folder.name), int(parent), state, command)
