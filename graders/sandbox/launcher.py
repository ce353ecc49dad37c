"""The step between the worker and bubblewrap, run as a script of its own: `python -I -S`.

It takes one JSON argument (`LaunchPlan` in bubblewrap.py). A child joins the run's cgroups, gathers
what the run may see under a private folder, lowers limits, gives up the worker's identity and
becomes bwrap with an empty environment. The parent stays to reap: bwrap leaves its namespace's
first process to whoever adopts orphans, and in a worker's container that may be nobody. Being a
separate process it needs no code between fork and exec of a threaded worker. Standard library only.

The gathering happens in a mount namespace of its own: as root a plain one, as an ordinary user one
inside a new user namespace. It exists because bwrap, running as the slot's uid, could not walk
through a private home folder to the sources, and because bwrap's own tmpfs lacks noexec and an
inode limit.
"""

import ctypes
import json
import os
import platform
import resource
import signal
import sys
from pathlib import Path
from typing import Any

CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 0x1, 0x2, 0x4, 0x8, 0x20
MS_BIND, MS_REC, MS_PRIVATE, MS_STRICTATIME = 0x1000, 0x4000, 0x40000, 0x1000000
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
JOIN_SESSION_KEYRING = 1
KEYCTL = {"x86_64": 250, "aarch64": 219}

libc = ctypes.CDLL(None, use_errno=True)


def call(what: str, result: int) -> None:
    """Raise OSError with the C library's errno where a call answered below 0."""
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """mount(2), its failure named by the target."""
    arguments = (os.fsencode(source), os.fsencode(target), kind.encode())
    call(f"mount {target}", libc.mount(*arguments, ctypes.c_ulong(flags), options.encode()))


def join_cgroups(procs_files: list[str]) -> None:
    for path in procs_files:
        Path(path).write_text("0")


def leave_keyring() -> None:
    """A new session keyring: the worker's would otherwise show in /proc/keys."""
    number = KEYCTL[platform.machine()]
    call("keyctl", libc.syscall(ctypes.c_long(number), ctypes.c_long(JOIN_SESSION_KEYRING), None))


def enter_mount_namespace() -> None:
    uid, gid = os.getuid(), os.getgid()
    call("unshare", libc.unshare(CLONE_NEWNS if uid == 0 else CLONE_NEWNS | CLONE_NEWUSER))
    if uid != 0:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    mount("none", "/", "", MS_REC | MS_PRIVATE)


def gather(stage: str, sources: list[str], scratch: dict[str, str]) -> None:
    """Bind each source at `stage/0`, `stage/1`, ... and mount each scratch tmpfs beside them."""
    enter_mount_namespace()
    # Opened before the stage hides what lies under it, and in the namespace that binds them.
    fds = [os.open(source, os.O_PATH | os.O_CLOEXEC) for source in sources]
    mount("tmpfs", stage, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=1m")
    for index, fd in enumerate(fds):
        target = Path(stage, str(index))
        opened = Path(f"/proc/self/fd/{fd}")
        target.mkdir() if opened.is_dir() else target.touch()
        mount(str(opened), str(target), "", MS_BIND | MS_REC)
        close_to_writers(target)
    for name, options in scratch.items():
        target = Path(stage, name)
        target.mkdir()
        mount("tmpfs", str(target), "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options)


def close_to_writers(target: Path) -> None:
    """Make a bind read-only: /proc/1/exe leads the inside past bwrap's read-only binds to the tree
    itself, which an ordinary user owns."""
    had = os.statvfs(target).f_flag
    # A user namespace may not take these away, nor change how times of access are kept.
    kept = had & (os.ST_NOEXEC | os.ST_NOATIME | os.ST_NODIRATIME)  # numbered as MS_ are
    if not had & (os.ST_NOATIME | os.ST_RELATIME):
        kept |= MS_STRICTATIME
    mount("none", str(target), "", MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | kept)


def drop(uid: int | None, rlimits: dict[str, int]) -> None:
    """Lower every limit, then become `uid` (None: stay) with no supplementary group."""
    for name, value in rlimits.items():
        limit = getattr(resource, name)
        hard = resource.getrlimit(limit)[1]
        lowered = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (lowered, lowered))
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)


def die_with(parent: int) -> None:
    """Be killed when `parent` (its starting thread) ends, even if it ended already."""
    call("prctl", libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    if os.getppid() != parent:
        raise ProcessLookupError("the worker is gone")


def become_bwrap(plan: dict[str, Any], parent: int) -> None:
    join_cgroups(plan["cgroups"])
    leave_keyring()
    Path("/proc/self/oom_score_adj").write_text("500")
    gather(plan["stage"], plan["sources"], plan["scratch"])
    drop(plan["uid"], plan["rlimits"])
    die_with(parent)
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python; exec would pass it on
        signal.signal(ignored, signal.SIG_DFL)
    os.chdir("/")
    os.execve(plan["argv"][0], plan["argv"], {})  # noqa: S606


def reap(child: int) -> int:
    """Wait for the child and all it orphans; answers the child's exit code, below 0 a signal."""
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)  # the run's own ends must be the only ones
    os.dup2(null, 1)
    os.closerange(3, 256)
    code = 0
    while True:
        try:
            pid, status = os.wait()
        except ChildProcessError:
            return code
        if pid == child:
            code = os.waitstatus_to_exitcode(status)


def main(plan: dict[str, Any]) -> int:
    die_with(plan["parent"])
    call("prctl", libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
    me = os.getpid()
    if child := os.fork():
        return reap(child)
    become_bwrap(plan, me)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(json.loads(sys.argv[1])))
    except OSError as error:
        sys.exit(f"sandbox launcher: {error}")
