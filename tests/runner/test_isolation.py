"""Rollouts side by side draw what they would draw alone; calls that hang end alone."""

import random
import threading
import time

import numpy.random
import pytest

from graders.errors import EnvironmentFault
from graders.runner.isolation import Stream
from graders.session import Request, RolloutResult
from tests.runner.bench import Bench, Chat
from tests.runner.test_formats import gym

DICE = """
import random
import time
import numpy as np

drawn = random.random(), np.random.random()

class Dice:
    def __init__(self):
        self.made = random.random()

    def reset(self, seed):
        self.rolled = 0
        return f"{drawn} {self.made} {random.random()} {np.random.random()}", {}

    def step(self, text):
        time.sleep(0.001)
        self.rolled += 1
        roll = f"{text} {random.randint(1, 10**9)} {np.random.randint(10**9)} {set('abcdefgh')}"
        return roll, 0.0, False, self.rolled == 4, {"metrics": {"last": random.random()}}

make = Dice
"""
REQUESTS = [Request(task, number, 100 * task + number) for task in range(6) for number in range(4)]


def draws(bench: Bench, concurrency: int) -> dict[tuple[int, int], tuple[list[str], float]]:
    """What each rollout drew: the texts it showed, and its last number."""
    lock, order = threading.Lock(), []

    def say(messages: list[dict[str, str]], seed: int) -> str:
        with lock:
            order.append(seed)
        time.sleep((seed % 7) / 1000)
        return str(len(messages))

    results = bench.run(Chat(say), REQUESTS, concurrency=concurrency)
    return {
        (one.task, one.number): ([said["content"] for said in one.messages], one.metrics["last"])
        for one in results
    }


def test_concurrent_rollouts_draw_what_they_draw_alone(bench: Bench) -> None:
    bench.with_numpy().write(DICE)
    alone, together = draws(bench, 1), draws(bench, 12)
    assert sum(alone[key] == together[key] for key in alone) == 24
    problems = {task: {alone[task, number][0][0] for number in range(4)} for task in range(6)}
    assert all(len(shown) == 1 for shown in problems.values()), "one task, one problem"
    assert len({next(iter(shown)) for shown in problems.values()}) == 6
    assert len({last for _, last in alone.values()}) == 24, "each rollout has a seed of its own"


def test_streams_go_on_where_they_were() -> None:
    """Two draw in turn; normals too, of which both generators make two at a time."""

    def draw() -> tuple[float, ...]:
        return random.gauss(), numpy.random.normal(), numpy.random.random()

    def alone(seed: int) -> list[tuple[float, ...]]:
        random.seed(seed)
        numpy.random.seed(seed)
        return [draw() for _ in range(5)]

    one, other, idle = Stream(1), Stream(2), Stream(3)
    drawn: dict[Stream, list[tuple[float, ...]]] = {one: [], other: []}
    for stream in [idle, one, other, idle, one, one, other, idle, other, one, other, other, one]:
        stream.lay_in()
        if stream is not idle:
            drawn[stream].append(draw())
        stream.take_out()
    idle.lay_in()
    assert [draw() for _ in range(5)] == alone(3)
    assert (drawn[one], drawn[other]) == (alone(1), alone(2))


def test_a_preview_shows_what_rollouts_get(bench: Bench) -> None:
    bench.with_numpy().write(DICE)
    with bench.session() as session:
        shown = session.peek(range(6))
    rolled = draws(bench, 4)
    assert [one.messages[0]["content"] for one in shown] == [
        rolled[task, 0][0][0] for task in range(6)
    ]


def hanging(how: str) -> str:
    return gym(f"""if text == 'hang':
            {how}
        return '', 1.0, True, False, {{}}""")


def one_hangs(messages: list[dict[str, str]], seed: int) -> str:
    return "hang" if messages[-1]["content"] == "2" else "go"


def test_a_loop_without_end_costs_one_rollout(bench: Bench) -> None:
    bench.write(
        hanging(
            """while True:
                try:
                    time.sleep(0.01)
                except Exception:
                    pass"""
        ).replace("return 'o', {}", "return str(seed), {}")
    )
    requests = [Request(task, 0, task) for task in range(6)]
    results = bench.run(Chat(one_hangs), requests, call_s=1.0, concurrency=6)
    assert [one.reward for one in results] == [1.0, 1.0, None, 1.0, 1.0, 1.0]
    assert results[2].error_kind == "environment"
    assert results[2].error_text == "A call into the environment did not return within 1 s."


@pytest.mark.parametrize(
    "how",
    [
        "time.sleep(99)",
        """while True:
                try:
                    time.sleep(0.01)
                except BaseException:
                    pass""",
    ],
    ids=["in C", "catches all"],
)
def test_a_hang_that_cannot_be_interrupted_is_the_environments_fault(
    bench: Bench, how: str
) -> None:
    bench.write(hanging(how).replace("return 'o', {}", "return str(seed), {}"))
    results: list[RolloutResult] = []
    began = time.monotonic()
    with (
        pytest.raises(EnvironmentFault, match="within 1 s and cannot be interrupted"),
        bench.session(Chat(one_hangs), call_s=1.0, concurrency=1) as session,
    ):
        session.run([Request(task, 0, task) for task in range(6)], results.append)
    assert [one.task for one in results] == [0, 1]
    assert time.monotonic() - began < 30


def test_questions_do_not_wait_for_another_rollouts_long_call(bench: Bench) -> None:
    source = gym("return '', 1.0, True, False, {}")
    bench.write(source.replace("return 'o', {}", "time.sleep(2.0 * (seed == 7)); return 'o', {}"))
    asked: list[float] = []

    def say(messages: list[dict[str, str]], seed: int) -> str:
        asked.append(time.monotonic())
        return "x"

    bench.run(Chat(say), [Request(task, 0, task) for task in range(8)], concurrency=8)
    assert asked[6] - asked[0] < 1.0
    assert asked[7] - asked[0] > 1.5


def test_a_slow_call_within_its_time_is_left_alone(bench: Bench) -> None:
    source = gym("time.sleep(0.6); return '', 1.0, True, False, {}")
    assert bench.one(source, call_s=1.5).reward == 1.0


def test_contributed_threads_and_exit_handlers_do_not_keep_the_runner(bench: Bench) -> None:
    bench.write(
        gym()
        + """
import atexit, threading
threading.Thread(target=time.sleep, args=(99,)).start()
atexit.register(time.sleep, 99)
"""
    )
    with bench.session(Chat(lambda *_: "x")) as session:
        session.run([Request(0, 0, 0)], lambda result: None)
        began = time.monotonic()
        ending = session.close()
    assert (ending.exit_code, ending.reason) == (0, "exited")
    assert time.monotonic() - began < 4
