import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hub.stack.paths import Paths
from hub.stack.processes import Lock, Supervisor


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = Paths(tmp_path / "data")
    found.make()
    return found


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(paths: Paths, said: list[str]) -> Iterator[Supervisor]:
    lock = Lock(paths.data)
    with Supervisor(paths.logs, lock, said.append) as found:
        yield found
    lock.release()


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Waits until a condition holds; fails after some seconds."""

    def wait(condition: Callable[[], bool], seconds: float = 10.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it did not come true in time"
            time.sleep(0.02)

    return wait
