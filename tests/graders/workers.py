"""Real Celery workers beside a test: processes of their own, on the test's database."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import redis
from django.conf import settings
from django.db import connection


def broker() -> redis.Redis:
    """Where the workers' messages lie."""
    return redis.Redis(unix_socket_path=str(settings.PATHS.valkey_socket))


def until(condition: Callable[[], object], seconds: float = 40.0) -> None:
    """Wait until a condition holds; fail after some seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.05)


class Worker:
    """A worker for every queue, with two processes.

    `stop` sends it SIGTERM, and kills it if it does not end.
    """

    def __init__(self, log: Path, **environment: str) -> None:
        database = connection.settings_dict
        url = f"postgresql://{database['USER']}@/{database['NAME']}?host={database['HOST']}"
        self._log = log.open("ab")
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "celery", "-A", "hub", "--skip-checks", "worker"),
                *("-Q", "build,rollouts,stats", "--concurrency", "2", "-l", "INFO"),
                *("--without-gossip", "--without-mingle", "-n", f"{log.stem}@test"),
            ],
            cwd=settings.BASE_DIR,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"DATABASE_URL": url, "SANDBOX_DRIVER": "bubblewrap"} | environment,
        )

    def stop(self) -> None:
        """Ends it if it still runs."""
        if self._process.poll() is None:
            self.signal(signal.SIGTERM)
            try:
                self.wait(20)
            except subprocess.TimeoutExpired:
                # Its processes end with it, and their sandboxes with them.
                self._process.kill()
                self._process.wait()
        self._log.close()

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self, seconds: float) -> int:
        return self._process.wait(seconds)

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def descendants(self) -> list[tuple[int, str]]:
        """The processes below it, with their command lines, nearest first."""
        return _below(self._process.pid)


def _below(pid: int) -> list[tuple[int, str]]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in _read(task).split():
            command = _read(Path(f"/proc/{child}/cmdline")).replace("\0", " ")
            found += [(int(child), command), *_below(int(child))]
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def sandboxes(worker: Worker) -> list[int]:
    """The sandboxed runners that a worker has under way."""
    return [pid for pid, command in worker.descendants() if "practicum_runner" in command]
