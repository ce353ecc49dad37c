"""One call into contributed code at a time, each with its rollout's own global random state.

Environments draw from the global `random` and `numpy.random`. With rollouts running side by side
they would draw from one stream in whatever order answers happen to come, and no rollout could be
repeated. So each rollout owns its states, which are laid in for its calls and taken out for those
of another.

A call that takes too long is interrupted where Python allows it, between two bytecodes. One that
hangs in C holds up all others, and only ends with the process.
"""

import ctypes
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import getstate, setstate
from random import seed as set_seed
from typing import Any, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

POLL_S = 0.1
STUCK_S = 5.0  # after an interruption that had no effect
MT19937_BYTES = 625 * 4  # its 624 words and the place of the next


class Cancelled(BaseException):
    """The worker no longer wants this rollout."""


class CallTimeout(BaseException):
    """A call into contributed code took too long."""


class Stream:
    """One owner's state of the global random generators. `seed` is an int of any size.

    It `is_over` once nobody draws from it any more.
    """

    def __init__(self, seed: int) -> None:
        self.is_over = False
        self._seed = seed
        self._python: Any = None
        self._numpy: Any = None
        self._seeded = b""  # what numpy's generator held when it was seeded

    def lay_in(self) -> None:
        """Make this the global state. numpy counts only if contributed code imported it."""
        if self._python is None:
            set_seed(self._seed)
        else:
            setstate(self._python)
        numpy = sys.modules.get("numpy.random")
        if numpy is None:
            return
        if self._numpy is None:
            numpy.seed(self._seed % 2**32)
            self._seeded = _held(numpy)
        else:
            numpy.set_state(self._numpy)

    def take_out(self) -> None:
        """Keep the global state as this owner's."""
        if self.is_over:
            return
        self._python = getstate()
        numpy = sys.modules.get("numpy.random")
        if numpy is None or (self._seeded and self._seeded == _held(numpy)):
            return  # Nobody drew from it, which is seen much faster than its state is had.
        self._numpy, self._seeded = numpy.get_state(), b""


def _held(numpy: Any) -> bytes:
    """The memory of numpy's global generator; empty if it is not the usual one."""
    generator = numpy.mtrand._rand._bit_generator
    if type(generator) is not numpy.MT19937:
        return b""
    return ctypes.string_at(generator.ctypes.state_address, MT19937_BYTES)


class Owner(Protocol):
    """Whose call into contributed code it is."""

    is_unwanted: bool


@dataclass
class Visit:
    """A call into contributed code that is under way. `began` is monotonic seconds."""

    owner: Owner
    thread: int
    began: float
    interrupted: bool = False


class Guard:
    """Calls into contributed code from one thread, each for at most `call_s` seconds.

    From a thread of its own, `on_long` is called ten times a second while a call takes long, and
    `on_stuck` when one could not be interrupted.
    """

    def __init__(
        self, call_s: float, on_long: Callable[[], None], on_stuck: Callable[[], None]
    ) -> None:
        self.call_s = call_s
        self._on_long = on_long
        self._on_stuck = on_stuck
        self._lock = threading.Lock()
        self._visit: Visit | None = None
        self._stream: Stream | None = None  # which is laid in

    def watch(self) -> None:
        """Start the thread that interrupts calls that take too long."""
        threading.Thread(target=self._watch, daemon=True).start()

    def call(
        self,
        owner: Owner,
        stream: Stream,
        function: Callable[P, T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """`function(...)` under `stream`; raises Cancelled, without calling, if it is unwanted."""
        if owner.is_unwanted:
            raise Cancelled
        self._lay_in(stream)
        visit = Visit(owner, threading.get_ident(), time.monotonic())
        try:
            self._visit = visit
            return function(*args, **kwargs)
        finally:
            self._visit = None
            self._leave(visit)

    def _lay_in(self, stream: Stream) -> None:
        """Exchange the streams, unless it was the last one anyway."""
        if stream is not self._stream:
            if self._stream is not None:
                self._stream.take_out()
            stream.lay_in()
            self._stream = stream

    def _leave(self, visit: Visit) -> None:
        with self._lock:  # Whoever is about to interrupt it has done so.
            if visit.interrupted:  # What has not arrived yet would hit who comes next.
                _raise_in(visit.thread, None)

    def interrupt(self, owner: Owner, reason: type[BaseException] = Cancelled) -> None:
        """Raise `reason` inside the call that `owner` is in; nothing if it is in none."""
        with self._lock:
            visit = self._visit
            if visit is not None and visit.owner is owner and not visit.interrupted:
                visit.interrupted = True
                visit.began = min(visit.began, time.monotonic() - self.call_s)
                _raise_in(visit.thread, reason)

    def _watch(self) -> None:
        before: Visit | None = None
        while True:
            time.sleep(POLL_S)
            before, visit = self._visit, before
            if visit is None or visit is not before:
                continue
            self._on_long()
            over = time.monotonic() - visit.began - self.call_s
            if over > STUCK_S:
                self._on_stuck()
            elif over > 0:
                self.interrupt(visit.owner, CallTimeout)


def _raise_in(thread: int, reason: type[BaseException] | None) -> None:
    """Have a thread raise this between two bytecodes; None takes back what has not arrived."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread), None if reason is None else ctypes.py_object(reason)
    )
