"""The whole stack, as `make run` starts it."""

import os
import re
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from hub.stack.paths import REPOSITORY
from hub.stack.processes import Lock

pytestmark = pytest.mark.e2e


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Stack:
    """`manage.py up` in a process of its own, and what it says."""

    def __init__(self, data: Path, port: int) -> None:
        environment = os.environ | {"PRACTICUM_DATA": str(data), "PRACTICUM_PORT": str(port)}
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "up", "--no-examples"],
            cwd=REPOSITORY,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def until_up(self) -> str:
        assert self.process.stdout is not None
        said = []
        for line in self.process.stdout:
            said.append(line)
            if "Practicum is at" in line:
                return "".join(said)
        pytest.fail(f"it ended: {''.join(said)}")

    def rest(self) -> str:
        said, _ = self.process.communicate(timeout=60)
        return said


def processor_seconds() -> float:
    """What all processes that this one has started and outlived have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def of_stack(data: Path) -> list[str]:
    """The commands of the processes that were started for this data folder."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if f"PRACTICUM_DATA={data}".encode() in environment and command:
            found.append(command.replace(b"\0", b" ").decode(errors="replace"))
    return found


def pids_of(data: Path, engine: str) -> list[int]:
    """The process of an engine of this stack; none while it is away."""
    own = str(data).encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (folder / "cmdline").read_bytes()
            if engine.encode() in command.split(b"\0")[0] and own in command:
                found.append(int(folder.name))
    return found


def is_ready(port: int) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=30).status_code == 200
    return False


def test_start_again_kill_and_stop(
    tmp_path: Path, port: int, eventually: Callable[..., None]
) -> None:
    data = tmp_path / "data"
    first = Stack(data, port)
    said = first.until_up()
    password = re.search(r"password: (\S+)", said)
    assert password is not None
    assert httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200
    assert any("celery" in command for command in of_stack(data))

    second = Stack(data, port + 1 if port < 65535 else port - 1)
    refusal = second.rest()
    assert second.process.returncode == 1
    assert "already running" in refusal and "Traceback" not in refusal

    third = Stack(tmp_path / "other", port)
    refusal = third.rest()
    assert third.process.returncode == 1
    assert f"Port {port} cannot be used" in refusal and "Traceback" not in refusal

    first.process.kill()
    first.process.wait()
    Lock(data, patience=60).release()
    eventually(lambda: not of_stack(data), 30)

    before = processor_seconds()
    again = Stack(data, port)
    said = again.until_up()
    assert "password" not in said  # its data is still there
    for engine in ("postgres", "valkey"):
        (killed,) = pids_of(data, engine)
        os.kill(killed, signal.SIGKILL)
        eventually(lambda engine=engine, killed=killed: pids_of(data, engine) not in ([], [killed]))
        eventually(lambda: is_ready(port), 30)
    again.process.send_signal(signal.SIGINT)
    assert "Stopping" in again.rest()
    assert again.process.returncode == 0
    assert not of_stack(data)
    # An idle machine of two cores takes 6 s for these 12 s of work; a busy one, whose cores share
    # their caches, works longer at it.
    assert processor_seconds() - before < 40
