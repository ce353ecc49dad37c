"""The runner: loads one environment, says hello, then serves rollouts until it is told to end."""

import ctypes
import gc
import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

from . import data
from .alarms import mute
from .attempts import Attempt
from .faults import ModelError, describe
from .formats.base import Adapter
from .frames import PROTO, Frame, FrameError
from .isolation import CallTimeout, Cancelled, Guard
from .loading import extend_path, load
from .wire import Wire

PR_SET_DUMPABLE = 4


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
    mute()
    adapter = _load(wire, start)
    Server(wire, adapter, start).serve()
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
    wire.send("hello", format=adapter.name, tasks=tasks, load_s=time.monotonic() - began)
    return adapter


class Server:
    """Serves the worker's frames; each rollout and each peek in a thread of a pool."""

    def __init__(self, wire: Wire, adapter: Adapter, start: Frame) -> None:
        self._wire = wire
        self._adapter = adapter
        self._paths: list[str] = start["paths"]
        self._call_s: float = start["call_s"]
        self._max_turns: int = start["max_turns"]
        self._guard = Guard(self._call_s, self._stuck)
        self._pool = ThreadPoolExecutor(start["concurrency"])
        self._lock = threading.Lock()
        self._attempts: dict[int, Attempt] = {}

    def serve(self) -> None:
        """Until `bye` or the end of the stream."""
        self._guard.watch()
        while (frame := self._wire.receive()) is not None:
            match frame["type"]:
                case "peek":
                    self._begin(self._peek, frame["id"], task=frame["task"])
                case "run":
                    turns = min(frame["max_turns"], self._max_turns)
                    run = {"task": frame["task"], "seed": frame["seed"], "max_turns": turns}
                    self._begin(self._run, frame["id"], **run)
                case "reply":
                    self._reply(frame)
                case "cancel":
                    self._cancel(frame["id"])
                case "bye":
                    return
                case other:
                    raise FrameError(f"the worker sent a frame of type {other!r}")

    def _begin(
        self,
        serve: Callable[[int, Attempt], None],
        number: int,
        *,
        task: int,
        seed: int = 0,
        max_turns: int = 1,
    ) -> None:
        attempt = Attempt(
            self._wire, self._guard, number, task=task, seed=seed, max_turns=max_turns
        )
        with self._lock:
            self._attempts[number] = attempt
        self._pool.submit(serve, number, attempt)

    def _peek(self, number: int, attempt: Attempt) -> None:
        messages, error = self._guarded(self._adapter.preview, attempt)
        self._finish(number, "task", task=attempt.task, messages=messages or [], error=error)

    def _run(self, number: int, attempt: Attempt) -> None:
        outcome, error = self._guarded(self._adapter.rollout, attempt)
        self._finish(
            number,
            "result",
            reward=outcome.reward if outcome else None,
            per_agent=outcome.per_agent if outcome else {},
            metrics=outcome.metrics if outcome else {},
            turns=outcome.turns if outcome else 0,
            error=error,
        )

    def _guarded(
        self, work: Callable[[Attempt], Any], attempt: Attempt
    ) -> tuple[Any, dict[str, str] | None]:
        """What `work` returns, or the error it ended with: contributed code may raise anything."""
        try:
            return work(attempt), None
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
        with self._lock:
            del self._attempts[number]
        try:
            self._wire.send(kind, id=number, **keys)
        except FrameError as error:
            text = f"What came out of the environment cannot be sent: {error}."
            emptied: dict[str, Any] = (
                {"messages": []} if kind == "task" else {"reward": None, "per_agent": {}}
            )
            failed = {**keys, **emptied, "error": {"kind": "environment", "text": text}}
            self._wire.send(kind, id=number, **failed)

    def _reply(self, frame: Frame) -> None:
        with self._lock:
            attempts = list(self._attempts.values())
        any(attempt.answer(frame["rid"], frame) for attempt in attempts)

    def _cancel(self, number: int) -> None:
        with self._lock:
            attempt = self._attempts.get(number)
        if attempt is not None:
            attempt.cancel()

    def _stuck(self) -> None:
        text = (
            f"A call into the environment did not return within {self._call_s:g} s and cannot be "
            "interrupted, so nothing else can run."
        )
        self._wire.send("fault", text=text)
        _end(1)
