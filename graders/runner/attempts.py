"""One rollout, or one look at a task, under way: its random states and its talk with the model."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from itertools import count
from typing import Any, ParamSpec, TypeVar

from .faults import BadEnvironment, ModelError
from .frames import FrameError
from .isolation import Cancelled, Guard, Stream
from .loops import Loop
from .requests import Message, request
from .wire import Wire

P = ParamSpec("P")
T = TypeVar("T")

__all__ = ["Attempt", "Message"]

_numbers = count()


class Attempt:
    """What an adapter gets to do its work with.

    `task` and `seed` are ints from 0 up, `max_turns` the most replies the model may give. Every
    call into contributed code goes through `pose`, `play` or `drive`; where such code runs in
    another process, what is waited for it is at most `call_s` seconds a call.
    """

    def __init__(
        self, wire: Wire, guard: Guard, number: int, *, task: int, seed: int, max_turns: int
    ) -> None:
        self.task = task
        self.seed = seed
        self.max_turns = max_turns
        self.call_s = guard.call_s
        self._wire = wire
        self._guard = guard
        self._number = number
        self._posing = Stream(task)
        self._playing = Stream(seed)
        self._unwanted = threading.Event()
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._open: dict[int, Future[dict[str, Any]]] = {}
        self._loop: Loop | None = None

    def pose(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call what makes the problem: the global random state depends on the task alone."""
        return self._guard.call(self, self._posing, self._unwanted, function, *args, **kwargs)

    def play(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call what follows: the global random state depends on the rollout's own seed."""
        return self._guard.call(self, self._playing, self._unwanted, function, *args, **kwargs)

    def drive(self, main: Callable[[], Awaitable[T]]) -> T:
        """Run asynchronous code to its end, on a loop of its own and otherwise as `play` does.

        While it waits, others are let into contributed code. Within it, the model is asked by
        `acomplete`, and what it sends to other threads through asyncio is guarded too.
        """
        return self.play(self._drive, main)

    def ask(self, messages: list[Message], *, agent: str = "") -> str:
        """The text of the model's reply to a conversation. Raises as `complete` does."""
        said = self.complete({"messages": messages}, agent=agent)["choices"][0]["message"]
        return str(said["content"])

    def complete(self, body: Mapping[str, Any], *, agent: str = "") -> dict[str, Any]:
        """The model's chat completion, which has one choice, for a chat completions request.

        Of the request count `messages`, `tools`, `tool_choice`, `stop` and `max_tokens`; how the
        model is sampled is not an environment's to say. `agent` names the seat that is asked.
        Raises BadEnvironment for what is no request, ModelError if there is no answer to be had.
        """
        with self._turn:
            return self._send(body, agent).result()

    async def acomplete(self, body: Mapping[str, Any], *, agent: str = "") -> dict[str, Any]:
        """`complete` for code under `drive`: one question is open at a time, others wait."""
        assert self._loop is not None, "acomplete() is for code that drive() runs"
        async with self._loop.turn:
            return await asyncio.wrap_future(self._send(body, agent))

    def answer(self, rid: int, reply: dict[str, Any]) -> bool:
        """Hand over the worker's `reply` frame; False if this attempt did not ask for it."""
        with self._lock:
            waiting = self._open.pop(rid, None)
        if waiting is None:
            return False
        if "error" in reply:
            waiting.set_exception(ModelError(reply["error"]))
        else:
            waiting.set_result(_completion(rid, reply["body"]))
        return True

    def cancel(self) -> None:
        """End it as soon as it can be ended."""
        with self._lock:
            self._unwanted.set()
            waiting = list(self._open.values())
            self._open.clear()
        for one in waiting:
            one.set_exception(Cancelled())
        if (loop := self._loop) is not None:
            loop.wake()
        self._guard.interrupt(self)

    def _send(self, body: Mapping[str, Any], agent: str) -> "Future[dict[str, Any]]":
        asked = request(body)
        rid, answer = next(_numbers), Future[dict[str, Any]]()
        with self._lock:
            if self._unwanted.is_set():
                raise Cancelled
            self._open[rid] = answer
        keys = {"rid": rid, "id": self._number, "role": "policy", "agent": agent, "body": asked}
        try:
            self._wire.send("model", **keys)
        except FrameError as error:
            with self._lock:
                self._open.pop(rid, None)
            raise BadEnvironment(f"What it asks the model cannot be sent: {error}.") from error
        return answer

    def _drive(self, main: Callable[[], Awaitable[T]]) -> T:
        with Loop(self._paused, self.play) as self._loop:
            return self._loop.run(main)

    def _paused(self, wait: Callable[[], T]) -> T:
        return self._guard.pause(self, self._playing, self._unwanted, wait)


def _completion(rid: int, body: dict[str, Any]) -> dict[str, Any]:
    """A reply as a whole chat completion, as clients of the API check it."""
    about = {"id": f"chatcmpl-{rid}", "object": "chat.completion", "created": 0, "model": "policy"}
    usage = body["usage"]
    counted = usage and {**usage, "total_tokens": sum(usage.values())}
    return {**about, **body, "usage": counted}
