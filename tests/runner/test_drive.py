"""Asynchronous contributed code: driven one rollout at a time, free while it waits."""

import asyncio
import os
import random
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar, cast

import pytest

from graders.runner.attempts import Attempt, Model, Shared
from graders.runner.faults import ModelError
from graders.runner.frames import FrameReader
from graders.runner.isolation import CallTimeout, Cancelled, Guard
from graders.runner.loops import Loops
from graders.runner.scheduler import Scheduler
from graders.runner.wire import Wire

T = TypeVar("T")

ASK = {"messages": [{"role": "user", "content": "q"}]}


class Side:
    """A runner's attempts, and a worker that answers questions with the rollout they are of."""

    def __init__(self, call_s: float = 5.0) -> None:
        self.source, self._sink = os.pipe()
        back, self._unused = os.pipe()
        guard = Guard(call_s, lambda: None, lambda: None)
        guard.watch()
        self._wire, self.scheduler = Wire(back, self._sink), Scheduler()
        self.model = Model(self._wire)
        self._shared = Shared(self.model, guard, self.scheduler, Loops(self.scheduler))
        self.asked: list[dict[str, Any]] = []
        self.answers = threading.Event()
        self.answers.set()
        self.error: str | None = None
        threading.Thread(target=self._serve, daemon=True).start()

    def attempt(self, number: int, seed: int = 0, task: int = 0) -> Attempt:
        return Attempt(self._shared, number, task=task, seed=seed, max_turns=9)

    def run(self, *mains: Coroutine[Any, Any, T], cancelled: Attempt | None = None) -> list[T]:
        """What each comes to, all under way at once. After 0.2 s `cancelled`, the first, is."""
        made = dict[int, T | BaseException]()

        async def keep(number: int, main: Coroutine[Any, Any, T]) -> None:
            try:
                made[number] = await main
            except BaseException as error:
                made[number] = error
            if len(made) == len(mains):
                self.scheduler.stop()

        runs = [self.scheduler.begin(keep(*one)) for one in enumerate(mains)]
        if cancelled is not None:
            # As the runner does it: from another thread while a call is long, and by its own.
            threading.Timer(0.2, cancelled.interrupt).start()
            cancel = partial(cancelled.cancel, runs[0])
            threading.Timer(0.2, lambda: self.scheduler.post(cancel)).start()
        self.scheduler.run(settle=self._wire.flush)
        for one in made.values():
            if isinstance(one, BaseException):
                raise one
        return [cast(T, made[number]) for number in range(len(mains))]

    def _serve(self) -> None:
        reader = FrameReader(lambda size: os.read(self.source, size))
        while (frame := reader.read()) is not None:
            self.asked.append(frame)
            self.answers.wait()
            threading.Timer(0.01, self._answer, [frame]).start()

    def _answer(self, frame: dict[str, Any]) -> None:
        message = {"role": "assistant", "content": str(frame["id"])}
        body = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
        reply = {"error": self.error} if self.error else {"body": {**body, "usage": None}}
        self.scheduler.post(lambda: self.model.answer({"rid": frame["rid"], **reply}))

    def close(self) -> None:
        os.close(self._sink)


@pytest.fixture
def side() -> Iterator[Side]:
    made = Side()
    yield made
    made.close()


def text(completion: dict[str, Any]) -> str:
    return str(completion["choices"][0]["message"]["content"])


def test_it_returns_what_the_code_returns(side: Side) -> None:
    attempt = side.attempt(7)

    async def main() -> str:
        return text(await attempt.acomplete(ASK, agent="black"))

    assert side.run(attempt.drive(main)) == ["7"]
    assert (side.asked[0]["agent"], side.asked[0]["body"]) == ("black", ASK)


def test_rollouts_draw_what_they_draw_alone(side: Side) -> None:
    def draws(number: int) -> Coroutine[Any, Any, list[float]]:
        attempt = side.attempt(number, seed=number)

        async def main() -> list[float]:
            found = []
            for turn in range(4):
                found.append(random.random())
                await attempt.acomplete(ASK)
                await asyncio.sleep(0.001 * (number % 3))
                found.append(await asyncio.to_thread(random.random))
                random.seed(found[-1] * turn)
            return found

        return attempt.drive(main)

    alone = [side.run(draws(number))[0] for number in range(12)]
    together = side.run(*map(draws, range(100, 112)))
    again = side.run(*map(draws, range(12)))
    assert again == alone
    assert len({tuple(one) for one in alone + together}) == 24


def test_what_is_drawn_before_the_model_is_asked_is_the_tasks(side: Side) -> None:
    def draws(task: int, seed: int) -> Coroutine[Any, Any, tuple[float, float]]:
        attempt = side.attempt(10 * task + seed, seed, task)

        async def main() -> tuple[float, float]:
            before = await asyncio.to_thread(random.random)
            await attempt.acomplete(ASK)
            return before, random.random()

        return attempt.drive(main)

    drawn = side.run(*(draws(task, seed) for task in range(2) for seed in range(3)))
    before, after = zip(*drawn, strict=True)
    assert before == (before[0],) * 3 + (before[3],) * 3
    assert (len(set(before)), len(set(after))) == (2, 3)


def test_waiting_does_not_keep_others_out(side: Side) -> None:
    began = time.monotonic()
    side.run(*(side.attempt(number).drive(lambda: asyncio.sleep(0.3)) for number in range(8)))
    assert time.monotonic() - began < 1.5


def test_only_one_is_inside_at_a_time(side: Side) -> None:
    inside: list[int] = []

    def run(number: int) -> Coroutine[Any, Any, None]:
        def busy() -> None:
            inside.append(number)
            time.sleep(0.002)
            assert inside == [number]
            inside.clear()

        async def main() -> None:
            for _ in range(5):
                busy()
                await asyncio.gather(asyncio.to_thread(busy), asyncio.sleep(0.001))

        return side.attempt(number).drive(main)

    side.run(*map(run, range(6)))


def test_questions_of_one_rollout_take_turns(side: Side) -> None:
    attempt = side.attempt(1)
    side.answers.clear()
    seen: list[int] = []

    def look() -> None:
        seen.append(len(side.asked))
        side.answers.set()

    async def main() -> list[dict[str, Any]]:
        threading.Timer(0.2, look).start()
        return await asyncio.gather(*(attempt.acomplete(ASK) for _ in range(3)))

    (answers,) = side.run(attempt.drive(main))
    assert [text(one) for one in answers] == ["1"] * 3
    assert (seen, len(side.asked)) == ([1], 3)


def test_a_model_that_fails_is_told(side: Side) -> None:
    attempt = side.attempt(1)
    side.error = "the model gave no answer"
    with pytest.raises(ModelError, match="no answer"):
        side.run(attempt.drive(lambda: attempt.acomplete(ASK)))
    with pytest.raises(ModelError, match="no answer"):
        side.run(attempt.complete(ASK))


@pytest.mark.parametrize("what", ["asking", "sleeping", "computing", "in a thread"])
def test_cancelling_ends_it_wherever_it_is(side: Side, what: str) -> None:
    attempt = side.attempt(1)
    side.answers.clear()

    def forever() -> None:
        while True:
            sum(range(100))

    async def main() -> None:
        match what:
            case "asking":
                await attempt.acomplete(ASK)
            case "sleeping":
                await asyncio.sleep(60)
            case "computing":
                forever()
            case "in a thread":
                await asyncio.to_thread(forever)

    with pytest.raises(Cancelled):
        side.run(attempt.drive(main), cancelled=attempt)
    assert side.attempt(2).play(lambda: "free") == "free"


def test_one_that_waits_without_asyncio_is_cancelled_too(side: Side) -> None:
    attempt = side.attempt(1)
    side.answers.clear()
    with pytest.raises(Cancelled):
        side.run(attempt.complete(ASK), cancelled=attempt)


def test_what_blocks_is_waited_for_by_one_that_is_cancelled(side: Side) -> None:
    attempt, ended = side.attempt(1), list[str]()

    async def main() -> None:
        ended.append(await attempt.aside(lambda: time.sleep(0.5) or "made"))
        await attempt.complete(ASK)

    with pytest.raises(Cancelled):
        side.run(main(), cancelled=attempt)
    assert (ended, side.asked) == (["made"], [])


def test_a_slice_that_takes_too_long_is_ended_but_a_long_wait_is_not() -> None:
    side = Side(call_s=0.3)

    async def main(is_busy: bool) -> str:
        await asyncio.sleep(0.8)
        while is_busy:
            sum(range(100))
        return "done"

    assert side.run(side.attempt(1).drive(lambda: main(False))) == ["done"]
    with pytest.raises(CallTimeout):
        side.run(side.attempt(2).drive(lambda: main(True)))
    side.close()


def test_what_is_left_over_is_cancelled(side: Side) -> None:
    ended: list[str] = []

    async def straggler() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("ended")

    async def main() -> str:
        asyncio.get_running_loop().straggler = asyncio.create_task(straggler())
        await asyncio.sleep(0.01)
        return "done"

    assert side.run(side.attempt(1).drive(main)) == ["done"]
    assert ended == ["ended"]


@pytest.mark.parametrize("what", ["timer", "callback", "descriptor"])
def test_what_is_left_over_never_reaches_another_rollout(side: Side, what: str) -> None:
    seen, (source, sink) = list[str](), os.pipe()

    async def leaves() -> None:
        loop = asyncio.get_running_loop()
        match what:
            case "timer":
                loop.call_later(0.05, seen.append, what)
            case "callback":
                again = lambda: (seen.append(what), loop.call_soon(again))  # noqa: E731
                loop.call_soon(again)
            case "descriptor":
                loop.add_reader(source, seen.append, what)
                os.write(sink, b"x")

    async def follows() -> None:
        seen.clear()
        await asyncio.sleep(0.2)

    side.run(side.attempt(1).drive(leaves))
    side.run(side.attempt(2).drive(follows))
    assert seen == []


def test_a_task_that_does_not_end_never_reaches_another_rollout(side: Side) -> None:
    kept: list[Any] = []
    seen: list[str] = []

    async def stubborn(loop: asyncio.AbstractEventLoop) -> None:
        with suppress(asyncio.CancelledError):
            await loop.create_future()
        kept.append(loop.create_future())
        await kept[-1]
        seen.append("went on")

    async def leaves() -> None:
        loop = asyncio.get_running_loop()
        kept.append(loop.create_task(stubborn(loop)))
        await asyncio.sleep(0)

    async def follows() -> None:
        with suppress(RuntimeError):  # Its loop is closed.
            kept[-1].set_result(None)
        await asyncio.sleep(0.1)

    side.run(side.attempt(1).drive(leaves))
    side.run(side.attempt(2).drive(follows))
    assert seen == []
