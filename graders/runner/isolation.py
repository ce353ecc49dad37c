"""One call into contributed code at a time, each with its rollout's own global random state.

Environments draw from the global `random` and `numpy.random`. With rollouts running side by side
they would draw from one stream in whatever order threads happen to run, and no rollout could be
repeated. So each rollout owns its states, which are laid in around every call and taken out after.

A call that takes too long is interrupted where Python allows it, between two bytecodes. One that
hangs in C holds the lock that all others need, and only ends with the process.
"""

import ctypes
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import getstate, setstate
from random import seed as set_seed
from typing import Any, ParamSpec, TypeVar

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
    """One owner's state of the global random generators. `seed` is an int of any size."""

    def __init__(self, seed: int) -> None:
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


@dataclass
class Visit:
    """A call into contributed code that is under way. `began` is monotonic seconds."""

    owner: object
    thread: int
    began: float
    interrupted: bool = False


class Guard:
    """Lets one thread at a time into contributed code, for at most `call_s` seconds.

    `on_stuck` is called, from another thread, when a call could not be interrupted.
    """

    def __init__(self, call_s: float, on_stuck: Callable[[], None]) -> None:
        self.call_s = call_s
        self._on_stuck = on_stuck
        self._lock = threading.Lock()
        self._holder: int | None = None
        self._visit_lock = threading.Lock()
        self._visit: Visit | None = None

    def watch(self) -> None:
        """Start the thread that interrupts calls that take too long."""
        threading.Thread(target=self._watch, daemon=True).start()

    def call(
        self,
        owner: object,
        stream: Stream,
        unwanted: threading.Event,
        function: Callable[P, T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """`function(...)` under `stream`; raises Cancelled, without calling, once `unwanted`."""
        while not self._lock.acquire(timeout=POLL_S):
            if unwanted.is_set():
                raise Cancelled
        try:
            self._enter(owner, stream, unwanted)
            result = function(*args, **kwargs)
            stream.take_out()
            return result
        except (Cancelled, CallTimeout):
            raise
        except BaseException:
            stream.take_out()
            raise
        finally:
            self._leave()

    def pause(
        self, owner: object, stream: Stream, unwanted: threading.Event, wait: Callable[[], T]
    ) -> T:
        """What `wait()` gives, while others may come in. For code inside a `call` of `owner`.

        Raises Cancelled afterwards, once `unwanted`.
        """
        stream.take_out()
        self._leave()
        try:
            return wait()
        finally:
            self._lock.acquire()
            self._enter(owner, stream, unwanted)

    def _enter(self, owner: object, stream: Stream, unwanted: threading.Event) -> None:
        """Begin a visit, the lock being held: `_leave` gives it back, whatever is raised here."""
        self._holder = threading.get_ident()
        if unwanted.is_set():
            raise Cancelled
        stream.lay_in()
        self._visit = Visit(owner, threading.get_ident(), time.monotonic())

    def _leave(self) -> None:
        # An interruption may arrive in here, too; the lock must be given back all the same.
        try:
            with self._visit_lock:
                self._visit = None
        finally:
            self._visit = None
            if self._holder == threading.get_ident():
                self._holder = None
                self._lock.release()

    def interrupt(self, owner: object, reason: type[BaseException] = Cancelled) -> None:
        """Raise `reason` inside the call that `owner` is in; nothing if it is in none."""
        with self._visit_lock:
            visit = self._visit
            if visit is not None and visit.owner is owner and not visit.interrupted:
                visit.interrupted = True
                visit.began = min(visit.began, time.monotonic() - self.call_s)
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(visit.thread), ctypes.py_object(reason)
                )

    def _watch(self) -> None:
        while True:
            time.sleep(POLL_S)
            visit = self._visit
            if visit is None:
                continue
            over = time.monotonic() - visit.began - self.call_s
            if over > STUCK_S:
                self._on_stuck()
            elif over > 0:
                self.interrupt(visit.owner, CallTimeout)
