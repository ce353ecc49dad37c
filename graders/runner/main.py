"""The runner: loads one environment, says hello, then serves rollouts until it is told to end."""

import ctypes
import gc
import os
import platform
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NoReturn

from . import data
from .alarms import mute
from .attempts import Attempt, Model, Shared
from .faults import ModelError, describe
from .formats.base import Adapter
from .frames import PROTO, Frame, FrameError
from .isolation import CallTimeout, Cancelled, Guard
from .loading import extend_path, load
from .loops import Loops
from .scheduler import Event, Run, Scheduler
from .wire import Wire

PR_SET_DUMPABLE = 4
YOUNG = 10_000  # objects before a collection: what a few rollouts make and drop


def main() -> NoReturn:
    """Run until the worker says `bye` or closes the stream; never returns."""
    # Some environments run what the model wrote, as this very user: it shall not write into this
    # process, where the reward is worked out.
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    wire = Wire.claim()
    start = wire.receive()
    if start is None:
        _end(0)
    wire.send("ready", proto=PROTO, python=platform.python_version())
    # Its descriptors are opened first: code that closes some, and comes again, would hit them.
    scheduler = Scheduler()
    adapter = _load(wire, start)
    mute()
    Server(wire, scheduler, adapter, start).serve()
    _end(0)


def _end(code: int) -> NoReturn:
    """End without contributed exit handlers and threads."""
    sys.stderr.flush()
    os._exit(code)


def _load(wire: Wire, start: Frame) -> Adapter:
    paths, began = start["paths"], time.monotonic()
    low, high = start["reward_range"]
    try:
        data.lay_out()
        extend_path(paths)
        adapter = load(start["entry"], start["args"], start["format"], (low, high), wire.log)
        tasks = adapter.tasks()
    except BaseException as error:
        wire.send("fault", text=describe(error, paths))
        _end(1)
    gc.freeze()  # Libraries stay, and are large: no collection need look at them again.
    gc.set_threshold(YOUNG)
    wire.send("hello", format=adapter.name, tasks=tasks, load_s=time.monotonic() - began)
    return adapter


class Server:
    """Serves the worker's frames; each rollout and each peek is a coroutine of one thread."""

    def __init__(self, wire: Wire, scheduler: Scheduler, adapter: Adapter, start: Frame) -> None:
        self._wire = wire
        self._scheduler = scheduler
        self._adapter = adapter
        self._paths: list[str] = start["paths"]
        self._call_s: float = start["call_s"]
        self._max_turns: int = start["max_turns"]
        self._guard = Guard(self._call_s, self._listen, self._stuck)
        self._model = Model(wire)
        self._shared = Shared(self._model, self._guard, scheduler, Loops(scheduler))
        self._running: dict[int, tuple[Attempt, Run]] = {}
        self._hearing = threading.Lock()
        self._heard: deque[Frame] = deque()

    def serve(self) -> None:
        """Until `bye` or the end of the stream."""
        self._guard.watch()
        with self._scheduler.watching(self._wire.source, self._take):
            self._scheduler.run(settle=self._wire.flush)

    def _take(self) -> None:
        """Serve all frames that are here."""
        while True:
            with self._hearing:
                if not self._heard and not self._wire.is_ready():
                    return
                frame = self._heard.popleft() if self._heard else self._wire.receive()
            if frame is None:
                return self._scheduler.stop()
            self._serve(frame)

    def _listen(self) -> None:
        """Go on with the worker while a call takes long: it may want to end it, or everything."""
        self._wire.flush()
        with self._hearing:
            while self._wire.is_ready():
                frame = self._wire.receive()
                if frame is None:
                    _end(0)
                self._heard.append(frame)
                if frame["type"] == "cancel" and (running := self._running.get(frame["id"])):
                    running[0].interrupt()
        self._scheduler.post(self._take)

    def _serve(self, frame: Frame) -> None:
        match frame["type"]:
            case "peek":
                self._begin(self._peek, frame["id"], task=frame["task"])
            case "run":
                turns = min(frame["max_turns"], self._max_turns)
                run = {"task": frame["task"], "seed": frame["seed"], "max_turns": turns}
                self._begin(self._run, frame["id"], **run)
            case "reply":
                self._model.answer(frame)
            case "cancel":
                self._cancel(frame["id"])
            case other:
                raise FrameError(f"the worker sent a frame of type {other!r}")

    def _cancel(self, number: int) -> None:
        if running := self._running.get(number):
            attempt, run = running
            attempt.cancel(run)

    def _begin(
        self,
        serve: Callable[[int, Attempt], Coroutine[Event, None, None]],
        number: int,
        *,
        task: int,
        seed: int = 0,
        max_turns: int = 1,
    ) -> None:
        terms = {"task": task, "seed": seed, "max_turns": max_turns}
        attempt = Attempt(self._shared, number, **terms)
        self._running[number] = attempt, self._scheduler.begin(serve(number, attempt))

    async def _peek(self, number: int, attempt: Attempt) -> None:
        messages, error = await self._guarded(self._adapter.preview, attempt)
        self._finish(number, "task", task=attempt.task, messages=messages or [], error=error)

    async def _run(self, number: int, attempt: Attempt) -> None:
        outcome, error = await self._guarded(self._adapter.rollout, attempt)
        self._finish(
            number,
            "result",
            reward=outcome.reward if outcome else None,
            per_agent=outcome.per_agent if outcome else {},
            metrics=outcome.metrics if outcome else {},
            turns=outcome.turns if outcome else 0,
            error=error,
        )

    async def _guarded(
        self, work: Callable[[Attempt], Awaitable[Any]], attempt: Attempt
    ) -> tuple[Any, dict[str, str] | None]:
        """What `work` returns, or the error it ended with: contributed code may raise anything."""
        try:
            return await work(attempt), None
        except ModelError as error:
            return None, {"kind": "model", "text": str(error)}
        except Cancelled:
            return None, {"kind": "environment", "text": "cancelled"}
        except CallTimeout:
            text = f"A call into the environment did not return within {self._call_s:g} s."
            return None, {"kind": "environment", "text": text}
        except BaseException as error:
            return None, {"kind": "environment", "text": describe(error, self._paths)}

    def _finish(self, number: int, kind: str, **keys: Any) -> None:
        self._running.pop(number)[0].end()
        try:
            self._wire.send_soon(kind, id=number, **keys)
        except FrameError as error:
            text = f"What came out of the environment cannot be sent: {error}."
            emptied: dict[str, Any] = (
                {"messages": []} if kind == "task" else {"reward": None, "per_agent": {}}
            )
            failed = {**keys, **emptied, "error": {"kind": "environment", "text": text}}
            self._wire.send(kind, id=number, **failed)

    def _stuck(self) -> None:
        text = (
            f"A call into the environment did not return within {self._call_s:g} s and cannot be "
            "interrupted, so nothing else can run."
        )
        self._wire.send("fault", text=text)
        _end(1)
