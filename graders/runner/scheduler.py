"""Rollouts side by side in one thread: each is a coroutine that runs until it has to wait.

Not asyncio's loop, because contributed code brings loops of its own, which do not run inside one.
"""

import os
import selectors
import time
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, ParamSpec, TypeVar

from .isolation import Cancelled

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 64  # for what blocks; they are started as they are needed


class Event:
    """What one coroutine awaits, once: the value that `set` is called with."""

    def __init__(self) -> None:
        self.run: Run | None = None  # who waits for it
        self._is_set = False
        self._value: Any = None

    def set(self, value: Any = None) -> None:
        if not self._is_set:
            self._is_set, self._value = True, value
            if self.run is not None:
                self.run.wake()

    def __await__(self) -> Generator["Event", None, Any]:
        while not self._is_set:
            yield self
        return self._value


class Condition:
    """Lets coroutines wait until something is so. They are woken in the order they came."""

    def __init__(self) -> None:
        self._waiting: list[Event] = []

    async def wait_for(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            event = Event()
            self._waiting.append(event)
            await event

    def notify_all(self) -> None:
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            event.set()


class Run:
    """A coroutine under way."""

    def __init__(self, main: Coroutine[Event, None, None], ready: "deque[Run]") -> None:
        self._main = main
        self._ready = ready
        self._has_begun = False
        self._is_over = False
        self._is_unwanted = False

    def wake(self) -> None:
        self._ready.append(self)

    def cancel(self) -> None:
        """Raise Cancelled where it waits, if it does."""
        if self._has_begun:
            self._is_unwanted = True
            self.wake()

    def step(self) -> None:
        """Let it run until it waits. What it raises passes through."""
        if self._is_over:
            return
        try:
            if self._is_unwanted:
                self._is_unwanted = False
                event = self._main.throw(Cancelled())
            else:
                event = self._main.send(None)
        except StopIteration:
            self._is_over = True
        else:
            self._has_begun = True
            event.run = self


class Scheduler:
    """Runs coroutines. All methods but `post` belong to the thread that calls `run`."""

    def __init__(self) -> None:
        self._is_over = False
        self._ready: deque[Run] = deque()
        self._selector = selectors.DefaultSelector()
        self._timers: dict[Event, float] = {}
        self._threads = ThreadPoolExecutor(THREADS, "aside")
        self._posted: deque[Callable[[], None]] = deque()
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._selector.register(self._bell, selectors.EVENT_READ, self._carry_out)

    def begin(self, main: Coroutine[Event, None, None]) -> Run:
        """Have a coroutine run from now on. What it raises ends `run`."""
        made = Run(main, self._ready)
        made.wake()
        return made

    def run(self, settle: Callable[[], None] = lambda: None) -> None:
        """Let all run until `stop`. `settle` is called whenever all that can run have run."""
        while not self._is_over:
            for _ in range(len(self._ready)):
                self._ready.popleft().step()
            settle()
            self._look()
        self._is_over = False

    def stop(self) -> None:
        self._is_over = True

    def post(self, call: Callable[[], None]) -> None:
        """Have this thread call something soon; any thread may ask for it."""
        self._posted.append(call)
        os.eventfd_write(self._bell, 1)

    @contextmanager
    def watching(self, source: int, call: Callable[[], None]) -> Iterator[None]:
        """Call something whenever the file descriptor can be read."""
        self._selector.register(source, selectors.EVENT_READ, call)
        try:
            yield
        finally:
            self._selector.unregister(source)

    async def wait(self, event: Event, until: float | None) -> None:
        """Wait for an event, at most until a monotonic time in seconds."""
        if until is not None:
            self._timers[event] = until
        try:
            await event
        finally:
            self._timers.pop(event, None)

    async def aside(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What a call gives that blocks: it is made in another thread, and waited for.

        Waited for by who is cancelled meanwhile, too: what it makes may have to be ended again.
        """
        event, made = Event(), self._threads.submit(call, *args, **kwargs)
        made.add_done_callback(lambda _: self.post(event.set))
        while not made.done():
            with suppress(Cancelled):
                await event
        return made.result()

    def _look(self) -> None:
        """See what can be read and which time has come; wait for it if nothing else can run."""
        for key, _ in self._selector.select(self._patience()):
            key.data()
        if self._timers:
            now = time.monotonic()
            for event in [one for one, due in self._timers.items() if due <= now]:
                event.set()

    def _patience(self) -> float | None:
        if self._ready or self._is_over:
            return 0.0
        if not self._timers:
            return None
        return max(0.0, min(self._timers.values()) - time.monotonic())

    def _carry_out(self) -> None:
        os.eventfd_read(self._bell)
        while self._posted:
            self._posted.popleft()()
