"""What an attack is, and the program that carries all of them out, each in a process of its own.

An attack is a function of what it is told about the host. It has *held* if it raises OSError or
answers something false, and has got through if it answers anything else. Whatever else it raises
means that the attack itself is broken.
"""

import ctypes
import errno
import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

SECONDS = 5.0
libc = ctypes.CDLL(None, use_errno=True)

Facts = dict[str, Any]


@dataclass(frozen=True)
class Attack:
    """`outside`: whether it may be tried without a sandbox, and has to get through there.

    `may_lack`: a kernel or host may not have what it aims at, or root may lack a privilege in a
    container; then it holds outside too.
    """

    name: str
    run: Callable[[Facts], object]
    outside: bool = True
    may_lack: bool = False


ATTACKS: dict[str, Attack] = {}


def add(name: str, run: Callable[[Facts], object], **flags: bool) -> None:
    assert name not in ATTACKS, name
    ATTACKS[name] = Attack(name, run, **flags)


def attack(**flags: bool) -> Callable[[Callable[[Facts], object]], Callable[[Facts], object]]:
    """Register a function under its module's and its own name."""

    def register(function: Callable[[Facts], object]) -> Callable[[Facts], object]:
        topic = function.__module__.rpartition(".")[2]
        add(f"{topic}: {function.__name__.replace('_', ' ')}", function, **flags)
        return function

    return register


def call(number: int, *arguments: int) -> int:
    """A system call by its number; raises OSError."""
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments))
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def reached(number: int, *arguments: int) -> str | None:
    """What the kernel itself answered to a call, None where the call was refused unseen.

    The arguments are ones that it cannot accept, so that nothing happens where it is not refused.
    """
    try:
        return f"answered {call(number, *arguments)}"
    except OSError as error:
        if error.errno in (errno.EPERM, errno.ENOSYS):
            raise
        return f"reached the kernel: {errno.errorcode[error.errno]}"


def judge(one: Attack, facts: Facts) -> dict[str, object]:
    try:
        got = one.run(facts)
    except OSError as error:
        return {"held": True, "said": repr(error)}
    except BaseException:
        return {"held": None, "said": traceback.format_exc()[-2000:]}
    return {"held": not got, "said": repr(got)[:500]}


def carry_out(one: Attack, facts: Facts) -> dict[str, object]:
    """In a child with its own session, so that nothing of it outlives it."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        os.setsid()
        os.write(writer, json.dumps(judge(one, facts)).encode())
        os._exit(0)
    os.close(writer)
    said = b""
    until = time.monotonic() + SECONDS
    while select.select([reader], [], [], max(0.0, until - time.monotonic()))[0]:
        part = os.read(reader, 65536)
        if not part:
            break
        said += part
    os.close(reader)
    for kill in (os.killpg, os.kill):
        try:
            kill(child, signal.SIGKILL)
        except OSError:
            pass
    status = os.waitpid(child, 0)[1]
    if said:
        return json.loads(said)
    late = time.monotonic() > until
    # A call that kills whoever makes it was refused.
    return {"held": None if late else True, "said": f"no answer, status {status}"}


def open_files() -> list[str]:
    """What is open from the start, beyond standard input, output and error."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            if int(name) > 2:
                found.append(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:
            pass  # the folder that was listed
    return found


def main(names: list[str] | None = None) -> None:
    """Facts come as JSON on standard input, the outcomes go as JSON to standard output."""
    found = {"opened": open_files(), "left": [*os.listdir("/tmp"), *os.listdir("/dev/shm")]}
    facts = json.load(sys.stdin) | found
    chosen = ATTACKS if names is None else {name: ATTACKS[name] for name in names}
    outcomes = {name: carry_out(one, facts) for name, one in chosen.items()}
    print(json.dumps(outcomes))
