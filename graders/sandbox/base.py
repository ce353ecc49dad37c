"""What a sandbox is, whichever driver provides it.

A sandbox runs one command that nobody trusts, with no network, no credential, a read-only root and
read-only mounts. Its standard input and output are the only way in or out.
"""

import select
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self

# Trees that the sandbox fills itself: a mount there would hide them or fail half-way.
RESERVED = ("/dev", "/etc", "/lib", "/lib64", "/proc", "/sys", "/tmp", "/usr")  # noqa: S108

# What every command finds in its environment; a spec's own variables are laid over it.
BASE_ENV = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/tmp",  # noqa: S108
    "LANG": "C.UTF-8",
    "USER": "env",
}

# The same for every run: files for each MiB of /tmp, /dev/shm, and what sockets may hold where the
# kernel does not count it as the run's memory (cgroup version 1).
TMP_FILES_A_MB = 64
SHM_MB, SHM_FILES = 16, 1024
SOCKETS_MB = 16

WAIT_MS = 100  # between looks at a stream that may have been closed


class SandboxUnavailable(Exception):
    """No sandbox can be had here. The message says what is wrong and what to do."""


class SandboxGone(Exception):
    """The run no longer reads its standard input: it ended, or closed it."""


class EndReason(StrEnum):
    """Why a run ended."""

    EXITED = "exited"  # by itself; see exit_code
    KILLED = "killed"  # by Running.kill()
    TIMEOUT = "timeout"  # over Limits.seconds
    OUT_OF_MEMORY = "out_of_memory"  # the kernel killed something inside, the command or a child
    OUTPUT_LIMIT = "output_limit"  # over Limits.output_mb on standard output
    LOST = "lost"  # the sandbox itself failed: infrastructure, never the command's fault


@dataclass(frozen=True)
class Limits:
    """What one run may use. Sizes in MiB or KiB, time in seconds of wall clock for the whole run.

    `pids` counts processes and threads, the sandbox's own two included.
    """

    memory_mb: int = 512
    cpus: float = 1.0
    pids: int = 64
    seconds: float = 300.0
    stderr_kb: int = 64
    tmp_mb: int = 64
    output_mb: int = 64

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f"Limits.{name} must be above 0, not {value!r}")

    @property
    def tmp_files(self) -> int:
        """Files and folders that fit into /tmp, however small."""
        return TMP_FILES_A_MB * self.tmp_mb


@dataclass(frozen=True)
class Mount:
    """A file or folder of this machine, seen inside at `target`; always read-only."""

    source: Path
    target: str


@dataclass(frozen=True)
class Spec:
    """One run. `argv[0]` of "python3" is the interpreter inside.

    Raises ValueError for a mount that no driver could honour, with what to change.
    """

    job: str
    argv: tuple[str, ...]
    mounts: tuple[Mount, ...] = ()
    limits: Limits = Limits()
    env: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.argv:
            raise ValueError("Spec.argv is empty: name the command to run")
        targets = [_target(mount) for mount in self.mounts]
        for at, target in enumerate(targets):
            for other in targets[:at]:
                if target == other or target in other.parents or other in target.parents:
                    raise ValueError(f"mount targets {other} and {target} overlap: separate them")


def _target(mount: Mount) -> PurePosixPath:
    target = PurePosixPath(mount.target)
    plain = target.is_absolute() and ".." not in target.parts and str(target) == mount.target
    if not plain or len(target.parts) < 2:
        raise ValueError(f"mount target {mount.target!r} must be a plain absolute path below /")
    top = f"/{target.parts[1]}"
    if top in RESERVED:
        raise ValueError(f"mount target {mount.target!r} lies in {top}, which the sandbox fills")
    if not mount.source.exists():
        raise ValueError(f"mount source {mount.source} does not exist")
    return target


@dataclass(frozen=True)
class Ending:
    """How a run ended. `stderr` keeps head and tail; signals give `exit_code` 128 + number.

    `stderr_bytes` counts what was dropped too. `peak_memory_mb` (MiB) counts files in /tmp too;
    None where nothing could measure it.
    """

    reason: EndReason
    exit_code: int | None
    seconds: float
    peak_memory_mb: float | None
    stderr: str
    stderr_bytes: int = 0


@dataclass(frozen=True)
class Shortfall:
    """Something a driver cannot enforce on this host, and what to do about it."""

    what: str
    advice: str

    def __str__(self) -> str:
        return f"{self.what}: {self.advice}"


class Running(ABC):
    """A started run. `send`, `receive` and `kill` may be called from different threads.

    An event loop watches `source` and `sink`, descriptors that can be read or written when
    `receive_some` or `send_some` have something to do.
    """

    source: int
    sink: int

    @abstractmethod
    def send_some(self, data: bytes | bytearray | memoryview) -> int:
        """Write what fits now; returns how many bytes. Raises SandboxGone once nothing reads it."""

    @abstractmethod
    def receive_some(self, n: int = 65536) -> bytes | None:
        """Up to `n` bytes of standard output, b"" at its end, None if there are none now."""

    @abstractmethod
    def close_input(self) -> None:
        """End standard input: the inside reads end-of-file. Safe to repeat."""

    def send(self, data: bytes | bytearray) -> None:
        """Write all of `data` to standard input; raises SandboxGone once nothing reads it."""
        view = memoryview(data)
        while view := view[self.send_some(view) :]:
            wait_for(self.sink, select.POLLOUT)

    def receive(self, n: int = 65536) -> bytes:
        """Up to `n` bytes of standard output, waiting for the first; b"" at its end."""
        while (data := self.receive_some(n)) is None:
            wait_for(self.source, select.POLLIN)
        return data

    @abstractmethod
    def kill(self) -> None:
        """End everything inside at once; from any thread, and harmless when it has ended."""

    @abstractmethod
    def wait(self) -> Ending:
        """Wait for the end, discard unread output, remove all traces; the same answer each time."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        self.wait()


def wait_for(descriptor: int, event: int) -> None:
    """Wait until it is ready, or for a while: another thread may have closed it."""
    ready = select.poll()
    ready.register(descriptor, event)
    ready.poll(WAIT_MS)


class Sandbox(ABC):
    """A way to run commands that nobody trusts."""

    name: str

    @property
    @abstractmethod
    def python(self) -> str:
        """Version of the interpreter inside, such as "3.11.7", found by asking it."""

    @abstractmethod
    def start(self, spec: Spec) -> Running:
        """Start a run.

        Raises SandboxUnavailable where it cannot start, ValueError for a bad spec.
        """

    @abstractmethod
    def shortfalls(self) -> list[Shortfall]:
        """What cannot be enforced on this host; empty when all is."""

    def warnings(self) -> list[str]:
        """The shortfalls, one sentence each."""
        return [str(shortfall) for shortfall in self.shortfalls()]

    @abstractmethod
    def reap(self, max_age: float) -> int:
        """Remove what dead workers left: runs over their time or `max_age` seconds old, or whose
        worker is gone. Returns how many were removed."""
