"""The supervisor: starts programs, waits until they answer, restarts them, stops them all."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from hub.stack.errors import StackError
from hub.stack.paths import REPOSITORY

TETHER = Path(__file__).with_name("tether.py")
PROBE_INTERVAL = 0.05  # seconds
MOST_DEATHS = 5
FORGIVEN_AFTER = 600.0  # seconds alive, after which earlier deaths no longer count
LONGEST_LINE = 300  # characters of a log's line that a message repeats

Say = Callable[[str], None]


@dataclass(frozen=True)
class Program:
    """One program of the stack.

    `name` names its log, `label` is what people read. `ready` says whether it answers, and may
    raise nothing. `stop` is the signal that asks it to end, `grace` the seconds it then has,
    `timeout` the seconds it has to answer first. `restarts`: whether to start it again when it
    dies. `user` is the system user it runs as (None: this one).
    """

    name: str
    label: str
    command: Sequence[str]
    ready: Callable[[], bool]
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    stop: signal.Signals = signal.SIGTERM
    grace: float = 10.0
    timeout: float = 60.0
    restarts: bool = False


class Lock:
    """The right to run a stack on one data folder.

    Each tether holds the lock too, so it is free only when nothing of an earlier stack is left,
    even if that stack's supervisor was killed.
    """

    def __init__(self, data: Path, patience: float = 30.0) -> None:
        """Takes the lock, waiting `patience` seconds for what a dead supervisor left to stop.

        Raises:
            StackError: another stack runs on this folder.
        """
        self._file: IO[str] = (data / ".lock").open("a+")
        deadline = time.monotonic() + patience
        while not self._taken():
            owner = self._owner()
            if _is_alive(owner) or time.monotonic() > deadline:
                self._file.close()
                raise StackError(
                    f"Practicum is already running on {data} (process {owner}): "
                    "stop that one first, or choose another folder with PRACTICUM_DATA."
                )
            time.sleep(PROBE_INTERVAL)
        self._file.seek(0)
        self._file.truncate()
        self._file.write(str(os.getpid()))
        self._file.flush()

    def fileno(self) -> int:
        return self._file.fileno()

    def release(self) -> None:
        self._file.close()

    def _taken(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _owner(self) -> int:
        self._file.seek(0)
        text = self._file.read()
        return int(text) if text.isdecimal() else 0


class Running:
    """A program that was started, held by its tether."""

    def __init__(self, program: Program, log: Path, lock: Lock) -> None:
        self.program = program
        self.log = log
        self.deaths = 0
        self.restart_at: float | None = None
        self._lock = lock
        self._launch()

    def _launch(self) -> None:
        program = self.program
        user = ["--user", program.user] if program.user else []
        options = ["--stop", str(int(program.stop)), "--grace", str(program.grace), *user]
        self.started = time.monotonic()
        self.restart_at = None
        with self.log.open("ab") as log:
            self._tether = subprocess.Popen(  # noqa: S603 - no shell, and no input of anyone's
                [sys.executable, "-I", "-S", str(TETHER), *options, "--", *program.command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=REPOSITORY,
                env={**os.environ, **program.environment},
                pass_fds=[self._lock.fileno()],
                start_new_session=True,
            )

    @property
    def exit_code(self) -> int | None:
        return self._tether.poll()

    def wait(self, timeout: float | None = None) -> int:
        return self._tether.wait(timeout)

    def stop(self) -> None:
        """Closes the lifeline: the tether stops the program. Returns at once."""
        if self._tether.stdin is not None:
            with suppress(BrokenPipeError):
                self._tether.stdin.close()

    def kill(self) -> None:
        """The same without grace."""
        self.stop()
        with suppress(ProcessLookupError):
            self._tether.terminate()

    def died(self) -> None:
        """Counts a death and sets when to start again: after 1, 2, 4, 8 s."""
        self.stop()
        lived = time.monotonic() - self.started
        self.deaths = 1 if lived > FORGIVEN_AFTER else self.deaths + 1
        self.restart_at = time.monotonic() + 2.0 ** (self.deaths - 1)

    def start_again(self) -> None:
        self._launch()

    def last_line(self) -> str:
        """The last line of its log that says something."""
        with self.log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 4096))
            lines = log.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")[:LONGEST_LINE]


class Supervisor:
    """Keeps programs running until it is left; then stops them, the last started first.

    Not for threads: the kernel and the tethers tie each program to the thread that started it.
    """

    def __init__(self, logs: Path, lock: Lock, say: Say) -> None:
        self._logs = logs
        self._lock = lock
        self._say = say
        self._running: list[Running] = []
        self._starting: list[Running] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def launch(self, program: Program) -> Running:
        """Starts a program without waiting until it answers; `check` says when it does."""
        running = self._launch(program)
        self._starting.append(running)
        return running

    def start(self, *programs: Program) -> None:
        """Launches programs beside each other and waits for them.

        Raises:
            StackError: one ended or did not answer in its time; its log's last line is quoted.
        """
        awaited = [self.launch(program) for program in programs]
        while any(running in self._starting for running in awaited):
            self._greet()
            time.sleep(PROBE_INTERVAL)

    def run(self, program: Program) -> None:
        """Runs a program to its end.

        Raises:
            StackError: it failed.
        """
        running = self._launch(program)
        try:
            code = running.wait(program.timeout)
        except subprocess.TimeoutExpired as error:
            raise self._failure(running, f"took more than {program.timeout:.0f} s") from error
        self._running.remove(running)
        running.stop()
        if code != 0:
            raise self._failure(running, f"failed with code {code}")

    def check(self) -> None:
        """Notices what answers or has died since the last call; restarts it when its time comes.

        Raises:
            StackError: something did not start, is not restarted, or died too often.
        """
        self._greet()
        for running in self._running:
            if running in self._starting:
                continue
            if running.restart_at is not None:
                if time.monotonic() >= running.restart_at:
                    running.start_again()
            elif (code := running.exit_code) is not None:
                self._handle_death(running, code)

    def stop(self) -> None:
        """Stops everything, in the reverse order; interrupted once more, at once."""
        try:
            for running in reversed(self._running):
                running.stop()
                running.wait()
        except KeyboardInterrupt:
            # A third interrupt must not leave anything behind: this takes a moment at most.
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            self._say("Stopping at once.")
            for running in self._running:
                running.kill()
            for running in self._running:
                running.wait()
        self._running.clear()

    def _launch(self, program: Program) -> Running:
        log = self._logs / f"{program.name}.log"
        if log.exists():
            log.replace(log.with_suffix(".log.1"))
        running = Running(program, log, self._lock)
        self._running.append(running)
        return running

    def _greet(self) -> None:
        """Says which of those that were launched answer now."""
        for running in list(self._starting):
            if self._is_ready(running):
                self._starting.remove(running)
                seconds = time.monotonic() - running.started
                self._say(step(running.program.label, f"ready ({seconds:.1f} s)"))

    def _is_ready(self, running: Running) -> bool:
        timeout = running.program.timeout
        if running.program.ready():
            return True
        if (code := running.exit_code) is not None:
            raise self._failure(running, f"ended with code {code} while starting")
        if time.monotonic() > running.started + timeout:
            raise self._failure(running, f"gave no answer in {timeout:.0f} s")
        return False

    def _handle_death(self, running: Running, code: int) -> None:
        running.died()
        if not running.program.restarts or running.deaths >= MOST_DEATHS:
            raise self._failure(running, f"ended with code {code}")
        self._say(f"{self._failure(running, f'ended with code {code}')} Starting it again.")

    def _failure(self, running: Running, what: str) -> StackError:
        said = f": {line}" if (line := running.last_line()) else "."
        return StackError(f"{running.program.label} {what}{said} (see {running.log})")


def stop_on_signals() -> None:
    """Makes SIGTERM, and SIGHUP of a closing terminal, the same as Ctrl-C: KeyboardInterrupt."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)


def step(label: str, outcome: str) -> str:
    """One line of progress: `PostgreSQL ........... ready (0.8 s)`."""
    return f"{label} {'.' * max(3, 24 - len(label))} {outcome}"


def _is_alive(pid: int) -> bool:
    if pid == 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
