"""Bombs inside both drivers: each ends for the right reason, in its time, within its limits."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from graders.link import ENV, PYTHON
from graders.sandbox import Limits, Sandbox, Spec
from tests.sandbox.support import left_by

from .bombs import BOMBS, MEMORY_MB, PIDS, Bomb

pytestmark = pytest.mark.usefixtures("host_unchanged")

STARTING = 5.0  # seconds that starting and removing a run may take beyond its own time
# What else goes on on the host, other tests for one, while a bomb is measured.
SLACK_MB = 1024


def available_mb() -> int:
    line = next(x for x in Path("/proc/meminfo").read_text().splitlines() if "MemAvailable" in x)
    return int(line.split()[1]) >> 10


@contextmanager
def memory_watched() -> Iterator[list[int]]:
    """Collects what memory the host had, in MiB, every 50 ms."""
    seen, done = [available_mb()], threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            seen.append(available_mb())

    watcher = threading.Thread(target=watch)
    watcher.start()
    yield seen
    done.set()
    watcher.join()


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_contained(sandbox: Sandbox, name: str):
    bomb: Bomb = BOMBS[name]
    limits = Limits(**{"memory_mb": MEMORY_MB, "pids": PIDS, "seconds": bomb.seconds} | bomb.limits)
    spec = Spec("bomb", (*PYTHON, "-c", bomb.code), (), limits, ENV)
    began = time.monotonic()
    with memory_watched() as seen, sandbox.start(spec) as running:
        said = b"".join(iter(running.receive, b"")).decode()
        ending = running.wait()
    took = time.monotonic() - began
    assert ending.reason in bomb.ends, (ending, said[-500:])
    assert bomb.says is None or bomb.says in said.splitlines(), (said[-500:], ending.stderr)
    assert took < limits.seconds + STARTING
    assert ending.peak_memory_mb is None or ending.peak_memory_mb <= limits.memory_mb + 1
    assert len(ending.stderr) < (limits.stderr_kb << 10) + 200
    assert seen[0] - min(seen) < limits.memory_mb + SLACK_MB
    assert left_by(sandbox) == ([], [], [], set())


def test_there_are_enough_bombs():
    assert len(BOMBS) >= 28
