"""One rollout, or one look at a task, under way: its random states and its talk with the model."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, ParamSpec, TypeVar

from .faults import BadEnvironment, ModelError
from .frames import Frame, FrameError
from .isolation import Cancelled, Guard, Stream
from .loops import Loop, Loops
from .requests import Message, request
from .scheduler import Event, Run, Scheduler
from .wire import Wire

P = ParamSpec("P")
T = TypeVar("T")
Body = dict[str, Any]

__all__ = ["Attempt", "Message", "Model", "Shared"]


class Model:
    """The model, at the other end of the wire. Questions are known by their `rid`."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._rids = count()
        self._open: dict[int, Callable[[Frame], None]] = {}

    def ask(self, number: int, body: Body, agent: str, take: Callable[[Frame], None]) -> int:
        """Send the question of rollout `number`; `take` gets the worker's reply. Gives its rid.

        Raises BadEnvironment if it cannot be sent.
        """
        rid = next(self._rids)
        try:
            self._wire.send_soon("model", rid=rid, id=number, role="policy", agent=agent, body=body)
        except FrameError as error:
            raise BadEnvironment(f"What it asks the model cannot be sent: {error}.") from error
        self._open[rid] = take
        return rid

    def answer(self, reply: Frame) -> None:
        """Hand over a reply, to whoever still wants it."""
        if take := self._open.pop(reply["rid"], None):
            take(reply)

    def forget(self, rid: int) -> None:
        self._open.pop(rid, None)


@dataclass(frozen=True)
class Shared:
    """What the attempts of one runner share."""

    model: Model
    guard: Guard
    scheduler: Scheduler
    loops: Loops


class Attempt:
    """What an adapter gets to do its work with.

    `task` and `seed` are ints from 0 up, `max_turns` the most replies the model may give. Every
    call into contributed code goes through `pose`, `play` or `drive`; where such code runs in
    another process, what is waited for it is at most `call_s` seconds a call, and goes through
    `aside`.
    """

    def __init__(
        self, shared: Shared, number: int, *, task: int, seed: int, max_turns: int
    ) -> None:
        self.task = task
        self.seed = seed
        self.max_turns = max_turns
        self.call_s = shared.guard.call_s
        self.is_unwanted = False
        self.aside = shared.scheduler.aside
        self._model = shared.model
        self._guard = shared.guard
        self._loops = shared.loops
        self._number = number
        self._posing = Stream(task)
        self._playing = Stream(seed)
        self._rids: list[int] = []
        self._loop: Loop | None = None

    def pose(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call what makes the problem: the global random state depends on the task alone."""
        return self._guard.call(self, self._posing, function, *args, **kwargs)

    def play(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call what follows: the global random state depends on the rollout's own seed."""
        return self._guard.call(self, self._playing, function, *args, **kwargs)

    async def drive(self, main: Callable[[], Awaitable[T]]) -> T:
        """Run asyncio's code to its end, on a loop of its own, slice by slice.

        Each slice is as `pose` has it until the model was asked, and as `play` has it then. While
        it waits, others are let into contributed code. Within it, the model is asked by
        `acomplete`, and what it sends to other threads through asyncio is guarded too.
        """
        with self._loops.lend() as self._loop:
            return await self._loop.run(main, self._slice)

    async def ask(self, messages: list[Message], *, agent: str = "") -> str:
        """The text of the model's reply to a conversation. Raises as `complete` does."""
        completion = await self.complete({"messages": messages}, agent=agent)
        return str(completion["choices"][0]["message"]["content"])

    async def complete(self, body: Mapping[str, Any], *, agent: str = "") -> dict[str, Any]:
        """The model's chat completion, which has one choice, for a chat completions request.

        Of the request count `messages`, `tools`, `tool_choice`, `stop` and `max_tokens`; how the
        model is sampled is not an environment's to say. `agent` names the seat that is asked.
        Raises BadEnvironment for what is no request, ModelError if there is no answer to be had.
        """
        event = Event()
        self._ask(request(body), agent, event.set)
        return _completion(await event)

    async def acomplete(self, body: Mapping[str, Any], *, agent: str = "") -> dict[str, Any]:
        """`complete` for code under `drive`: one question is open at a time, others wait."""
        loop, asked = self._loop, request(body)
        assert loop is not None, "acomplete() is for code that drive() runs"
        async with loop.turn:
            future = loop.future()
            # Not in here, where an interruption may hit the sending.
            loop.between(partial(self._ask_between, loop, future, asked, agent))
            return _completion(await future)

    def end(self) -> None:
        """Say that it came to its end: nothing more is drawn from its streams."""
        self._posing.is_over = self._playing.is_over = True
        for rid in self._rids:
            self._model.forget(rid)

    def cancel(self, run: Run) -> None:
        """End it, which `run` carries out, as soon as it can be ended."""
        self.is_unwanted = True
        run.cancel()

    def interrupt(self) -> None:
        """End it where it is in contributed code; any thread may."""
        self.is_unwanted = True
        self._guard.interrupt(self)

    def _slice(self, work: Callable[[], T]) -> T:
        return self.play(work) if self._rids else self.pose(work)

    def _ask(self, body: Body, agent: str, take: Callable[[Frame], None]) -> None:
        if self.is_unwanted:
            raise Cancelled
        self._rids.append(self._model.ask(self._number, body, agent, take))

    def _ask_between(
        self, loop: Loop, future: "asyncio.Future[Frame]", body: Body, agent: str
    ) -> None:
        def take(reply: Frame) -> None:
            if not future.done():
                future.set_result(reply)
            loop.wake()

        try:
            self._ask(body, agent, take)
        except BadEnvironment as error:
            if not future.done():
                future.set_exception(error)
            loop.wake()


def _completion(reply: Frame) -> dict[str, Any]:
    """A reply as a whole chat completion, as clients of the API check it. Raises ModelError."""
    if "error" in reply:
        raise ModelError(reply["error"])
    about = {"id": f"chatcmpl-{reply['rid']}", "object": "chat.completion", "created": 0}
    body, usage = reply["body"], reply["body"]["usage"]
    counted = usage and {**usage, "total_tokens": sum(usage.values())}
    return {**about, "model": "policy", **body, "usage": counted}
