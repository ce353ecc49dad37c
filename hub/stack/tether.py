"""Runs one program and sees to it that nothing which it started outlives the stack.

The supervisor holds the other end of this process's standard input. When that end closes,
because the supervisor stops the program or because it died in whatever way, the program is told
to stop, given its grace, then killed. What is left of its descendants, however far they had
detached themselves, is killed after it: they are handed to this process as their reaper.
SIGTERM skips the grace.

Started by its path with `python -I -S`, so that it is small: standard library only, Linux only.
"""

import argparse
import ctypes
import os
import pwd
import select
import signal
import struct
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

# Numbers from the kernel's headers, see prctl(2) and capabilities(7).
PR_SET_PDEATHSIG = 1
PR_SET_SECUREBITS = 28
PR_SET_CHILD_SUBREAPER = 36
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
SECBIT_NO_SETUID_FIXUP = 1 << 2
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522

CANNOT_START = 127
RESTORED = (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE, signal.SIGQUIT, signal.SIGXFSZ)


def main(arguments: Sequence[str]) -> int:
    """Returns the program's exit code, or 128 + the signal that ended it."""
    parser = argparse.ArgumentParser(description="Run a program until standard input closes.")
    parser.add_argument("--stop", type=int, required=True, help="the signal that asks it to end")
    parser.add_argument("--grace", type=float, required=True, help="seconds before it is killed")
    parser.add_argument("--user", help="the user it runs as (only root can choose)")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args(arguments)

    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    wakeup = _watch_signals()
    program = os.fork()
    if program == 0:
        _become(options.command, options.stop, options.user)
    status = _follow(program, wakeup, options.stop, options.grace)
    _sweep()
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _watch_signals() -> int:
    """Returns a file descriptor on which each SIGCHLD and SIGTERM arrives as one byte."""

    def arrived(_signal: int, _frame: FrameType | None) -> None:
        """A handler must exist for the byte to be written."""

    wakeup, written = os.pipe()
    os.set_blocking(wakeup, False)
    os.set_blocking(written, False)
    signal.set_wakeup_fd(written, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, arrived)
    signal.signal(signal.SIGTERM, arrived)
    return wakeup


def _become(command: Sequence[str], stop: int, user: str | None) -> NoReturn:
    """Turns this (forked) process into the program."""
    try:
        # Some are ignored here by Python, others where a shell started all this in the background.
        for number in RESTORED:
            signal.signal(number, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        parent = os.getppid()
        if user is not None:
            _leave_root(user)
        # After the change of user, which clears it; should the tether itself be killed.
        _prctl(PR_SET_PDEATHSIG, stop)
        if os.getppid() == parent:
            os.execvp(command[0], list(command))  # noqa: S606 - being no shell is the point
    except OSError as error:
        os.write(2, f"{command[0]} cannot be started: {error}\n".encode())
    finally:
        os._exit(CANNOT_START)


def _leave_root(user: str) -> None:
    """Becomes `user`, but goes on passing through folders that are root's alone.

    PostgreSQL refuses to run as root. The data folder, or the programs themselves, often lie
    below /root, which is closed to everyone else; the alternatives to keeping this one
    capability are to open up root's home or to put the data somewhere unexpected.
    """
    entry = pwd.getpwnam(user)
    # Else the kernel would drop all capabilities here, and ignore them in access(2) ever after.
    _prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP)
    os.setgroups([])
    os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
    os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
    _hold_only(1 << CAP_DAC_OVERRIDE)
    _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE)


def _hold_only(mask: int) -> None:
    """Reduces this process's capabilities to those of `mask` (the first 32 there are)."""
    header = struct.pack("=Ii", CAPABILITY_VERSION_3, 0)
    effective_permitted_inheritable = struct.pack("=6I", mask, mask, mask, 0, 0, 0)
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.capset(header, effective_permitted_inheritable))


def _follow(program: int, wakeup: int, stop: int, grace: float) -> int:
    """Waits for the program's end, and brings it about once standard input closes."""
    watched = [0, wakeup]
    deadline: float | None = None
    while (status := _reap(program)) is None:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        ready, _, _ = select.select(watched, [], [], left)
        if 0 in ready and not os.read(0, 4096):
            watched.remove(0)
            deadline = time.monotonic() + grace
            os.kill(program, stop)
        hurried = wakeup in ready and signal.SIGTERM in os.read(wakeup, 4096)
        if hurried or (deadline is not None and time.monotonic() >= deadline):
            os.kill(program, signal.SIGKILL)
            deadline = None
    return status


def _reap(program: int) -> int | None:
    """Collects whatever has ended; returns the program's status if it is among them."""
    ended = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        if pid == program:
            ended = status


def _sweep() -> None:
    """Kills what is left; the children of whatever dies become ours, and are next."""
    while children := _children():
        for child in children:
            os.kill(child, signal.SIGKILL)
        for child in children:
            os.waitpid(child, 0)


def _children() -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # "pid (name) state parent ...": the name may hold anything.
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid():
            found.append(int(folder.name))
    return found


def _prctl(option: int, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    padded = [ctypes.c_ulong(value) for value in (*arguments, 0, 0, 0, 0)[:4]]
    _check(libc.prctl(ctypes.c_int(option), *padded))


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
