"""Asynchronous contributed code: driven one rollout at a time, free while it waits."""

import asyncio
import os
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from graders.runner.attempts import Attempt
from graders.runner.faults import ModelError
from graders.runner.frames import FrameReader
from graders.runner.isolation import CallTimeout, Cancelled, Guard
from graders.runner.wire import Wire

ASK = {"messages": [{"role": "user", "content": "q"}]}


class Side:
    """A runner's attempts, and a worker that answers each question with the seed it came from."""

    def __init__(self, call_s: float = 5.0) -> None:
        self.source, self._sink = os.pipe()
        back, self._unused = os.pipe()
        self.wire = Wire(back, self._sink)
        self.guard = Guard(call_s, lambda: None)
        self.guard.watch()
        self.open: dict[int, Attempt] = {}
        self.asked: list[dict[str, Any]] = []
        self.answers = threading.Event()
        self.answers.set()
        self.error: str | None = None
        threading.Thread(target=self._serve, daemon=True).start()

    def attempt(self, number: int, seed: int = 0) -> Attempt:
        made = Attempt(self.wire, self.guard, number, task=0, seed=seed, max_turns=9)
        self.open[number] = made
        return made

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
        self.open[frame["id"]].answer(frame["rid"], reply)

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

    assert attempt.drive(main) == "7"
    assert (side.asked[0]["agent"], side.asked[0]["body"]) == ("black", ASK)


def test_rollouts_draw_what_they_draw_alone(side: Side) -> None:
    def draws(number: int) -> list[float]:
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

    alone = [draws(number) for number in range(12)]
    with ThreadPoolExecutor(12) as pool:
        together = list(pool.map(draws, range(100, 112)))
        again = list(pool.map(draws, range(12)))
    assert again == alone
    assert len({tuple(one) for one in alone + together}) == 24


def test_waiting_does_not_keep_others_out(side: Side) -> None:
    def nap(number: int) -> None:
        side.attempt(number).drive(lambda: asyncio.sleep(0.3))

    began = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(nap, range(8)))
    assert time.monotonic() - began < 1.5


def test_only_one_is_inside_at_a_time(side: Side) -> None:
    inside: list[int] = []

    def run(number: int) -> None:
        def busy() -> None:
            inside.append(number)
            time.sleep(0.002)
            assert inside == [number]
            inside.clear()

        async def main() -> None:
            for _ in range(5):
                busy()
                await asyncio.gather(asyncio.to_thread(busy), asyncio.sleep(0.001))

        side.attempt(number).drive(main)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(run, range(6)))


def test_questions_of_one_rollout_take_turns(side: Side) -> None:
    attempt = side.attempt(1)
    side.answers.clear()

    async def main() -> list[dict[str, Any]]:
        return await asyncio.gather(*(attempt.acomplete(ASK) for _ in range(3)))

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(attempt.drive, main)
        time.sleep(0.2)
        assert len(side.asked) == 1
        side.answers.set()
        assert [text(one) for one in running.result(5)] == ["1"] * 3
    assert len(side.asked) == 3


def test_a_model_that_fails_is_told(side: Side) -> None:
    attempt = side.attempt(1)
    side.error = "the model gave no answer"
    with pytest.raises(ModelError, match="no answer"):
        attempt.drive(lambda: attempt.acomplete(ASK))
    with pytest.raises(ModelError, match="no answer"):
        attempt.complete(ASK)


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

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(attempt.drive, main)
        time.sleep(0.2)
        attempt.cancel()
        with pytest.raises(Cancelled):
            running.result(5)
    assert side.attempt(2).play(lambda: "free") == "free"


def test_a_slice_that_takes_too_long_is_ended_but_a_long_wait_is_not() -> None:
    side = Side(call_s=0.3)

    async def main(is_busy: bool) -> str:
        await asyncio.sleep(0.8)
        while is_busy:
            sum(range(100))
        return "done"

    assert side.attempt(1).drive(lambda: main(False)) == "done"
    with pytest.raises(CallTimeout):
        side.attempt(2).drive(lambda: main(True))
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

    assert side.attempt(1).drive(main) == "done"
    assert side.attempt(2).play(lambda: "free") == "free"
    assert ended == ["ended"]
