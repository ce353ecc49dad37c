"""Both drivers, really run. Docker tests are skipped only where no daemon has the image."""

from collections.abc import Callable
from pathlib import Path

import pytest

from graders.sandbox import Ending, EndReason, Mount, Sandbox, SandboxUnavailable
from graders.sandbox.bubblewrap import Bubblewrap
from graders.sandbox.docker import Docker

from .support import DRIVERS, IMAGE, spec

Answer = tuple[str, Ending]
RunPython = Callable[..., Answer]


@pytest.fixture(scope="session")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="session", params=DRIVERS)
def sandbox(request: pytest.FixtureRequest, state_dir: Path) -> Sandbox:
    if request.param == "bubblewrap":
        return Bubblewrap(state_dir)
    try:
        return Docker(IMAGE, state_dir)
    except SandboxUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture
def run_python(sandbox: Sandbox) -> RunPython:
    """Run code to its end; gives what it printed and how it ended."""

    def run(code: str, *mounts: Mount, **limits: float) -> Answer:
        with sandbox.start(spec(code, *mounts, **limits)) as running:
            said = b"".join(iter(running.receive, b"")).decode()
            return said, running.wait()

    return run


@pytest.fixture
def answer(run_python: RunPython) -> Callable[..., str]:
    """What code printed, having exited cleanly."""

    def ask(code: str, *mounts: Mount, **limits: float) -> str:
        said, ending = run_python(code, *mounts, **limits)
        assert (ending.reason, ending.exit_code) == (EndReason.EXITED, 0), ending
        return said.strip()

    return ask
