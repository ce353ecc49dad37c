"""One sandboxed runner, driven: look at its tasks, run rollouts, relay the model.

All of it happens in the thread that calls `peek` or `run`: an event loop reads the runner's frames
and talks to the model while there is nothing else to do. Results are handed over outside of it.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from graders import endings, protocol
from graders.conversation import Body, Message
from graders.errors import (
    EnvironmentFault,
    GraderError,
    ModelUnavailable,
    PlatformFault,
    PromptTooLong,
)
from graders.fields import ProtocolError
from graders.flight import Caps, Flight, Request, RolloutResult
from graders.link import Link
from graders.runner.frames import PROTO
from graders.sandbox.base import Ending, Limits, Sandbox

logger = logging.getLogger(__name__)

M = TypeVar("M")


class Watch(Protocol):
    """Who has the session run: may end it, and is told what the runner says."""

    def check(self) -> None:
        """Called at least once a second; what it raises ends the session."""

    def say(self, text: str) -> None:
        """Take a line for the log; any thread may call it."""


class Model(Protocol):
    """Who is asked; a session enters and leaves it, and asks from one event loop."""

    async def chat(self, body: Body, seed: int) -> dict[str, Any]:
        """A chat completion; `seed` is below 2**31."""

    async def __aenter__(self) -> object: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


__all__ = ["Hello", "Launch", "Model", "Preview", "Request", "RolloutResult", "Session", "Watch"]

LOOK_S = 0.1  # between looks at how long each rollout takes
START_S = 60.0  # until the runner runs, before it touches contributed code


@dataclass(frozen=True)
class Launch:
    """The terms on which a runner is started.

    `bundle` is mounted at /env; `paths` are absolute, as seen inside. `reward_range` is
    (low, high), inclusive. Times in seconds: `load_s` for importing and making the environment,
    `call_s` for one call into it, `rollout_s` for a rollout without the model's share.
    `rollout_tokens` limits prompt and reply tokens of one rollout.
    """

    bundle: Path
    entry: str
    format: str | None
    args: Mapping[str, Any]
    paths: tuple[str, ...]
    max_turns: int
    reward_range: tuple[float, float]
    limits: Limits
    concurrency: int
    job: str
    load_s: float = 120.0
    call_s: float = 30.0
    rollout_s: float = 600.0
    rollout_tokens: int = 1_000_000


@dataclass(frozen=True)
class Hello:
    """A loaded environment; `tasks` is None for an endless one, `load_s` seconds."""

    format: str
    tasks: int | None
    load_s: float
    python: str


@dataclass(frozen=True)
class Preview:
    """The messages that open a task, or why they cannot be had."""

    task: int
    messages: list[Message]
    error: str | None


@dataclass(frozen=True)
class _Answered:
    """The model is done with a rollout's question."""

    flight: Flight
    rid: int
    answer: asyncio.Task[dict[str, Any]]


class Session:
    """A context manager around one runner.

    Raises EnvironmentFault for whatever the environment did, PlatformFault for what it did not do:
    a sandbox that fails, a time limit spent on waiting for the model; and whatever `watch` raises.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        launch: Launch,
        model: Model | None = None,
        watch: Watch | None = None,
    ) -> None:
        self._sandbox = sandbox
        self._launch = launch
        self._model = model
        self._open = AsyncExitStack()
        self._asked: set[asyncio.Task[dict[str, Any]]] = set()  # what the model has to answer
        self._watch = watch
        self._ids = 0
        self._rids: set[int] = set()
        self._flights: dict[int, Flight] = {}
        self._spent = (0.0, 0.0)  # seconds of finished rollouts: all, the model's
        self._ready = False
        self._next_look = 0.0
        self._link: Link
        self.hello: Hello

    def __enter__(self) -> Self:
        launch = self._launch
        self._link = Link(self._sandbox, launch.bundle, launch.limits, launch.job)
        try:
            if self._model is not None:
                self._link.run(self._open.enter_async_context(self._model))
            self._link.listen(launch.reward_range)
            self.hello = self._load()
        except BaseException:
            self._link.kill()
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._link.kill()
        self.close()

    def close(self) -> Ending:
        """End the runner, by force if it does not end by itself. Safe to repeat."""
        if not self._link.is_closed:
            self._link.run(self._leave())
        return self._link.close()

    def peek(self, tasks: Sequence[int]) -> list[Preview]:
        """The opening of each task, in the order asked for."""
        waiting, open_, shown = deque(tasks), dict[int, int](), dict[int, Preview]()
        while waiting or open_:
            while waiting and len(open_) < self._launch.concurrency:
                number = self._next_id()
                open_[number] = waiting.popleft()
                self._link.send("peek", id=number, task=open_[number])
            message = self._next()
            if message is None:
                continue
            if not isinstance(message, protocol.TaskShown) or message.id not in open_:
                raise self._unexpected(message)
            task = open_.pop(message.id)
            if message.task != task:
                raise ProtocolError(f"The runner showed task {message.task}, not {task}.")
            error = message.error.text if message.error else None
            shown[task] = Preview(task, message.messages, error)
        return [shown[task] for task in tasks]

    def run(self, requests: Sequence[Request], on_result: Callable[[RolloutResult], None]) -> None:
        """Carry out rollouts, at most `concurrency` at once, in any order.

        `on_result` gets each result as it comes, in this thread; what it raises ends the run.
        """
        waiting, left = deque(requests), len(requests)
        while left:
            while waiting and len(self._flights) < self._launch.concurrency:
                self._take_off(waiting.popleft())
            message = self._next()
            for result in [*self._handle(message), *self._overdue()]:
                left -= 1
                self._link.flush()
                on_result(result)

    async def _leave(self) -> None:
        """End what the model was asked, and leave it."""
        for answer in self._asked:
            answer.cancel()
        await asyncio.gather(*self._asked, return_exceptions=True)
        await self._open.aclose()

    def _load(self) -> Hello:
        launch = self._launch
        self._link.send(
            "start",
            proto=PROTO,
            format=launch.format,
            entry=launch.entry,
            args=dict(launch.args),
            paths=list(launch.paths),
            concurrency=launch.concurrency,
            max_turns=launch.max_turns,
            reward_range=list(launch.reward_range),
            call_s=launch.call_s,
        )
        late = PlatformFault(f"The sandbox did not start within {START_S:g} s.")
        ready = self._await(protocol.Ready, START_S, late)
        self._ready = True
        slow = EnvironmentFault(f"The environment did not load within {launch.load_s:g} s.")
        loaded = self._await(protocol.Loaded, launch.load_s, slow)
        if launch.format not in (None, loaded.format):
            raise ProtocolError(f"The runner loaded a {loaded.format}, not a {launch.format}.")
        return Hello(loaded.format, loaded.tasks, loaded.load_s, ready.python)

    def _await(self, kind: type[M], seconds: float, late: Exception) -> M:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            message = self._next()
            if isinstance(message, kind):
                return message
            if message is not None:
                raise self._unexpected(message)
        raise late

    def _take_off(self, request: Request) -> None:
        launch, number = self._launch, self._next_id()
        caps = Caps(launch.max_turns, launch.rollout_tokens, launch.rollout_s)
        self._flights[number] = Flight(number, request, caps)
        self._link.send(
            "run",
            id=number,
            task=request.task,
            seed=request.seed,
            max_turns=launch.max_turns,
        )

    def _handle(self, message: object) -> list[RolloutResult]:
        """What a message brings to an end."""
        match message:
            case None:
                return []
            case protocol.Ask():
                return self._ask(message)
            case _Answered():
                return self._answer(message)
            case protocol.Result():
                return self._land(message)
        raise self._unexpected(message)

    def _ask(self, asked: protocol.Ask) -> list[RolloutResult]:
        flight = self._flight(asked.id, "asked the model for")
        if asked.rid in self._rids:
            raise ProtocolError(f"The runner used request id {asked.rid} twice.")
        self._rids.add(asked.rid)
        flight.ask(asked)
        if flight.cancelled is not None:
            return []
        if flight.over is not None:
            return self._cancel(flight)
        if self._model is None:
            raise ProtocolError("The runner asked for a model in a session that has none.")
        answer = self._link.begin(self._model.chat(asked.body, flight.call_seed()))
        self._asked.add(answer)
        answer.add_done_callback(lambda done: self._link.post(_Answered(flight, asked.rid, done)))
        return []

    def _answer(self, answered: _Answered) -> list[RolloutResult]:
        flight, rid = answered.flight, answered.rid
        self._asked.discard(answered.answer)
        try:
            reply = flight.answer(answered.answer.result())
        except PromptTooLong as error:
            flight.fail("context", str(error))
        except ModelUnavailable as error:
            flight.fail("model", str(error))
        else:
            if flight.over is not None:
                return self._cancel(flight)
            self._link.send("reply", rid=rid, body=reply)
            return []
        if flight.cancelled is None:
            self._link.send("reply", rid=rid, error="the model gave no answer")
        return []

    def _land(self, result: protocol.Result) -> list[RolloutResult]:
        flight = self._flight(result.id, "sent a result for")
        landed = flight.land(result)
        del self._flights[result.id]
        return [self._count(landed)] if flight.cancelled is None else []

    def _cancel(self, flight: Flight) -> list[RolloutResult]:
        """Give up on a rollout now; its slot stays taken until the runner has left it too."""
        if flight.cancelled is not None:
            return []
        self._link.send("cancel", id=flight.number)
        return [self._count(flight.cancel())]

    def _overdue(self) -> list[RolloutResult]:
        """Give up on what used up its time. All have theirs looked at, so not at each message."""
        now = time.monotonic()
        if now < self._next_look:
            return []
        self._next_look = now + LOOK_S
        late = [flight for flight in self._flights.values() if flight.is_late()]
        if sum(flight.is_stuck() for flight in self._flights.values()) >= self._launch.concurrency:
            raise EnvironmentFault(
                "Rollouts of this environment do not end when they are cancelled: "
                "a call into it hangs."
            )
        return [result for flight in late for result in self._cancel(flight)]

    def _count(self, result: RolloutResult) -> RolloutResult:
        every, model = self._spent
        self._spent = (every + result.seconds, model + result.model_seconds)
        return result

    def _flight(self, number: int, did: str) -> Flight:
        if number not in self._flights:
            raise ProtocolError(f"The runner {did} rollout {number}, which is not under way.")
        return self._flights[number]

    def _next(self) -> object | None:
        """The next message, or None if there was none for a while."""
        if self._watch is not None:
            self._watch.check()
        event = self._link.next()
        match event:
            case protocol.Log():
                self._note(event)
                return None
            case protocol.Fault():
                raise EnvironmentFault(event.text)
            case Ending():
                raise self._death(event)
        return event

    def _note(self, log: protocol.Log) -> None:
        logger.info("%s: %s: %r", self._launch.job, log.level, log.text)
        if self._watch is not None:
            self._watch.say(f"{log.level}: {log.text}")

    def _death(self, ending: Ending) -> GraderError:
        spent = [self._spent, *(flight.seconds() for flight in self._flights.values())]
        every, model = (sum(part) for part in zip(*spent, strict=True))
        share = model / every if every else 0.0
        limits = self._launch.limits
        return endings.explain(ending, limits, ready=self._ready, model_share=share)

    def _next_id(self) -> int:
        self._ids += 1
        return self._ids

    def _unexpected(self, message: object) -> ProtocolError:
        return ProtocolError(f"The runner sent a {type(message).__name__} frame out of turn.")
