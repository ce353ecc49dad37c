"""Event loops for contributed coroutines: one for each rollout, run slice by slice."""

import asyncio
import selectors
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, ParamSpec, TypeVar

from .scheduler import Event, Scheduler

P = ParamSpec("P")
T = TypeVar("T")

# Calls a function that is, or leads to, contributed code.
Play = Callable[[Callable[[], Any]], Any]

LOOK_EVERY = 16
LEAVE_S = 1.0  # for tasks that were cancelled


class Loops:
    """Lends loops. One that was left with nothing to do is lent again: making one takes long."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._idle: list[Loop] = []

    @contextmanager
    def lend(self) -> "Iterator[Loop]":
        loop = self._idle.pop() if self._idle else Loop(self._scheduler)
        try:
            yield loop
        except BaseException:
            loop.close()
            raise
        if loop.is_clean:
            self._idle.append(loop)
        else:
            loop.close()


class Loop:
    """One rollout's event loop. `turn` is held by whoever asks the model."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._selector = _Selector()
        self._loop = asyncio.SelectorEventLoop(self._selector)
        self._selector.stop = self._loop.stop
        self._aside = _Aside(self.wake)
        self._woken = Event()
        self.turn = asyncio.Lock()
        self.is_clean = False  # whether what ran last left nothing to do

    def close(self) -> None:
        self._loop.close()

    async def run(self, main: Callable[[], Awaitable[T]], play: Play) -> T:
        """What `main` returns or raises; the tasks that it leaves are cancelled then.

        A slice, from one wait to the next, is one call of `play`, and so is what contributed code
        sends to other threads through asyncio: it is called between two slices, in this thread.
        """

        async def whole() -> T:
            return await main()

        self._loop.set_default_executor(self._aside)
        self._loop.set_task_factory(None)
        # What contributed code leaves unfinished is no news for standard error.
        self._loop.set_exception_handler(lambda *_: None)
        with self._scheduler.watching(self._selector.fileno(), self.wake):
            result = await self._complete(whole(), play)
            if left := asyncio.all_tasks(self._loop):
                for task in left:
                    task.cancel()
                await self._complete(asyncio.wait(left, timeout=LEAVE_S), play)
        is_idle = self._selector.is_empty and not self._aside.calls
        self.is_clean = is_idle and all(task.done() for task in left)
        return result

    def future(self) -> "asyncio.Future[Any]":
        return self._loop.create_future()

    def between(self, call: Callable[[], None]) -> None:
        """Have something called once the slice is over, outside contributed code."""
        self._aside.calls.append(lambda play: call())

    def wake(self) -> None:
        """Let it see what has happened."""
        self._woken.set()

    async def _complete(self, main: Coroutine[Any, Any, T], play: Play) -> T:
        task = self._loop.create_task(main)
        task.add_done_callback(self._selector.end)
        while not task.done():
            self._woken = Event()
            play(self._loop.run_forever)
            for call in self._aside.take():
                call(play)
            if not task.done():
                await self._scheduler.wait(self._woken, self._selector.until)
        return task.result()


class _Selector(selectors.DefaultSelector):
    """Stops the loop where it would wait (`until` then, for ever if None), and once it shall end.

    `is_empty` says whether it would have waited for ever then.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stop: Callable[[], None]
        self.until: float | None = None
        self.is_empty = False
        self._is_ending = False
        self._unseen = 0

    def end(self, _: object) -> None:
        self._is_ending = True

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self._is_ending:
            self._is_ending = False
            self.is_empty = timeout is None and len(self.get_map()) == 1  # its own wake-up call
            self.stop()
            return []
        is_busy = timeout is not None and timeout <= 0
        if is_busy and self._unseen < LOOK_EVERY:
            self._unseen += 1  # There is code to go on with.
            return []
        self._unseen = 0
        ready = super().select(0)
        if not (ready or is_busy):
            self.until = None if timeout is None else time.monotonic() + timeout
            self.stop()
        return ready


class _Aside(ThreadPoolExecutor):
    """asyncio's default executor, without threads: it keeps the calls until they are taken.

    `done` is called after each.
    """

    def __init__(self, done: Callable[[], None]) -> None:
        super().__init__(1)
        self._done = done
        self.calls: list[Callable[[Play], None]] = []

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        made = Future[T]()
        made.add_done_callback(lambda _: self._done())
        self.calls.append(partial(_carry_out, made, partial(fn, *args, **kwargs)))
        return made

    def take(self) -> list[Callable[[Play], None]]:
        calls, self.calls = self.calls, []
        return calls


def _carry_out(made: "Future[T]", call: Callable[[], T], play: Play) -> None:
    if not made.set_running_or_notify_cancel():
        return
    try:
        result = play(call)
    except Exception as error:
        made.set_exception(error)
    else:
        made.set_result(result)
