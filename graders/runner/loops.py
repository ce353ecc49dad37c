"""Event loops for contributed coroutines: guarded while they run, free while they wait."""

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, ParamSpec, Self, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# Leaves contributed code, calls the function, and comes back before it returns.
Pause = Callable[[Callable[[], Any]], Any]
# Calls a function in contributed code, as a call of its own.
Play = Callable[..., Any]

THREADS = 4  # for all rollouts: one at a time is in contributed code anyway
LOOK_EVERY = 16
LEAVE_S = 1.0  # for tasks that were cancelled


class Loop:
    """One rollout's event loop, a context manager. `turn` is held by whoever asks the model."""

    def __init__(self, pause: Pause, play: Play) -> None:
        self._loop = asyncio.SelectorEventLoop(_Selector(pause))
        self._loop.set_default_executor(_Aside(play))
        # What contributed code leaves unfinished is no news for standard error.
        self._loop.set_exception_handler(lambda *_: None)
        self.turn = asyncio.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.close()

    def run(self, main: Callable[[], Awaitable[T]]) -> T:
        """What `main` returns or raises; the tasks that it leaves are cancelled then."""

        async def whole() -> T:
            return await main()

        result = self._loop.run_until_complete(whole())
        if left := asyncio.all_tasks(self._loop):
            for task in left:
                task.cancel()
            self._loop.run_until_complete(asyncio.wait(left, timeout=LEAVE_S))
        return result

    def wake(self) -> None:
        """Let it look whether it is still wanted; any thread may."""
        with suppress(RuntimeError):  # It is closed.
            self._loop.call_soon_threadsafe(lambda: None)


class _Selector(selectors.DefaultSelector):
    """Lets other rollouts into contributed code for as long as this one's loop waits."""

    def __init__(self, pause: Pause) -> None:
        super().__init__()
        self._pause = pause
        self._unseen = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout <= 0 and self._unseen < LOOK_EVERY:
            # There is code to go on with. Each look lets go of the interpreter's lock, which
            # another thread then takes.
            self._unseen += 1
            return []
        self._unseen = 0
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        wait = super().select
        found: list[tuple[selectors.SelectorKey, int]] = self._pause(lambda: wait(timeout))
        return found


_threads = ThreadPoolExecutor(THREADS, "aside")


class _Aside(ThreadPoolExecutor):
    """asyncio's default executor: what it sends to the shared threads is contributed code too.

    Threads of its own would have to be started in every rollout.
    """

    def __init__(self, play: Play) -> None:
        super().__init__(1)
        self._play = play

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        return _threads.submit(self._play, fn, *args, **kwargs)
