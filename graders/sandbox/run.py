"""What a run does the same way under every driver: its clock, its output and how it ends."""

import math
import select
import time
from abc import abstractmethod
from dataclasses import dataclass
from threading import Event, Lock, Thread

from graders.sandbox.base import Ending, EndReason, Limits, Running, SandboxGone, wait_for
from graders.sandbox.streams import HeadTail

DRAIN_SECONDS = 10.0  # for the last output of what has ended


@dataclass(frozen=True)
class Outcome:
    """What the driver knows once a run is over; `lost` says what broke in the sandbox itself."""

    exit_code: int | None
    oom: bool
    peak_memory_mb: float | None
    lost: str = ""


class Run(Running):
    """The drivers' common base.

    A driver feeds `_stderr` and says how to read, write, kill and collect. What is not read waits
    in the kernel, and then the run waits too.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._stderr = HeadTail(limits.stderr_kb << 10)
        self._output_left = limits.output_mb << 20
        self._flooded = False
        self._dropping = False
        self._began = time.monotonic()
        self._cause: EndReason | None = None
        self._ended = Event()
        self._seconds = math.nan
        self._ending: Ending | None = None
        self._cause_lock = Lock()
        self._whole_lock = Lock()
        self._send_lock = Lock()
        self._receive_lock = Lock()
        self._wait_lock = Lock()

    @abstractmethod
    def _read(self, n: int) -> bytes | None:
        """Up to `n` bytes of standard output without waiting; None if there are none now."""

    @abstractmethod
    def _write(self, data: bytes | bytearray | memoryview) -> int:
        """Write what fits without waiting; OSError once nobody reads."""

    @abstractmethod
    def _end_input(self) -> None:
        """Close standard input; OSError is ignored."""

    @abstractmethod
    def _destroy(self) -> None:
        """Kill everything inside. Any thread, any time, more than once."""

    @abstractmethod
    def _await_end(self, timeout: float) -> bool:
        """Whether everything inside is dead, waiting up to `timeout` seconds for it."""

    @abstractmethod
    def _collect(self) -> Outcome:
        """Called once, after the end and the last output: read the outcome, remove all traces."""

    def send(self, data: bytes | bytearray) -> None:
        with self._whole_lock:  # Or what two threads send would be mixed.
            super().send(data)

    def send_some(self, data: bytes | bytearray | memoryview) -> int:
        with self._send_lock:
            if self._ended.is_set():
                raise SandboxGone("the sandbox has ended")
            try:
                return self._write(data)
            except (OSError, ValueError) as error:
                raise SandboxGone("the sandbox no longer reads its input") from error

    def close_input(self) -> None:
        with self._send_lock:
            self._end_input()

    def receive_some(self, n: int = 65536) -> bytes | None:
        return b"" if self._dropping else self._receive(n)

    def kill(self) -> None:
        self._stop(EndReason.KILLED)

    def wait(self) -> Ending:
        with self._wait_lock:
            if self._ending is None:
                self._drop_output()
                self._ended.wait()
                with self._receive_lock:
                    outcome = self._collect()
                self._ending = self._conclude(outcome)
            return self._ending

    def _receive(self, n: int = 65536) -> bytes | None:
        with self._receive_lock:
            try:
                data = self._read(n)
            except (OSError, ValueError):
                return b""
            return self._counted(data) if data else data

    def _drop_output(self) -> None:
        """Read what is left of it, so that the run can end. Whoever reads it is at the end."""
        self._dropping = True
        late: float | None = None
        while (data := self._receive()) != b"":
            if data is None:
                wait_for(self.source, select.POLLIN)
            if late is None and self._ended.is_set():
                late = time.monotonic() + DRAIN_SECONDS
            if late is not None and time.monotonic() > late:
                return

    def _watch(self) -> None:
        """The thread that lives as long as the run and enforces its wall clock."""
        while not self._await_end(max(0.0, self._time_left())):
            if self._time_left() <= 0:
                self._stop(EndReason.TIMEOUT)
                self._await_death()
                break
        self._seconds = time.monotonic() - self._began
        self._ended.set()

    def _await_death(self, grace: float = 15.0) -> None:
        """Give a killed run time to be gone; past `grace` seconds it is for the reaper."""
        self._await_end(grace)

    def _time_left(self) -> float:
        return self._began + self._limits.seconds - time.monotonic()

    def _stop(self, cause: EndReason) -> None:
        with self._cause_lock:
            if self._ended.is_set():
                return
            self._cause = self._cause or cause
        self._destroy()

    def _counted(self, data: bytes) -> bytes | None:
        """The output, None if it is over the limit."""
        self._output_left -= len(data)
        if self._output_left >= 0:
            return data
        if not self._flooded:
            self._flooded = True
            # Not from this thread: it has to go on reading while the run is killed.
            Thread(target=self._stop, args=(EndReason.OUTPUT_LIMIT,), daemon=True).start()
        return None

    def _conclude(self, outcome: Outcome) -> Ending:
        stderr = self._stderr.text()
        if outcome.oom:
            reason = EndReason.OUT_OF_MEMORY
        elif self._cause is not None:
            reason = self._cause
        elif outcome.lost:
            reason = EndReason.LOST
            stderr = f"{stderr}\n{outcome.lost}".strip()
        else:
            reason = EndReason.EXITED
        return Ending(
            *(reason, outcome.exit_code, self._seconds),
            *(outcome.peak_memory_mb, stderr, self._stderr.total),
        )
