"""The same rollouts in one process: the runner's adapter, a model at hand, no frames, no worker.

Standard library only, and run by an interpreter without site-packages, as the runner is.
"""

import json
import sys
import time
from collections.abc import Iterator
from typing import Any, cast

from graders.runner.attempts import Attempt, Model, Shared
from graders.runner.formats.base import Adapter
from graders.runner.isolation import Guard
from graders.runner.loading import extend_path, load
from graders.runner.loops import Loops
from graders.runner.scheduler import Scheduler
from graders.runner.wire import Wire


class Desk:
    """Takes the place of the wire to the worker: every question is answered at once."""

    def __init__(self, scheduler: Scheduler, completion: dict[str, Any]) -> None:
        self._scheduler = scheduler
        self._completion = completion
        self.model = Model(cast(Wire, self))

    def send_soon(self, kind: str, **keys: Any) -> None:
        reply = {"rid": keys["rid"], "body": self._completion}
        self._scheduler.post(lambda: self.model.answer(reply))


def rollouts(adapter: Adapter, terms: dict[str, Any]) -> list[float]:
    """The rewards of all rollouts, `concurrency` of which are under way at once."""
    rewards, scheduler = dict[int, float](), Scheduler()
    desk = Desk(scheduler, terms["completion"])
    guard = Guard(30.0, lambda: None, lambda: None)
    shared = Shared(desk.model, guard, scheduler, Loops(scheduler))

    async def some(numbers: Iterator[int]) -> None:
        for number in numbers:
            turns = {"task": number, "seed": number, "max_turns": terms["max_turns"]}
            attempt = Attempt(shared, number, **turns)
            rewards[number] = (await adapter.rollout(attempt)).reward
        if len(rewards) == terms["count"]:
            scheduler.stop()

    numbers = iter(range(terms["count"]))
    for _ in range(terms["concurrency"]):
        scheduler.begin(some(numbers))
    scheduler.run()
    return [rewards[number] for number in range(terms["count"])]


def main() -> None:
    """Carry out what the JSON in the first argument says; print the seconds it took.

    `cpu` is the processor time of the rollouts.
    """
    terms = json.loads(sys.argv[1])
    began = time.perf_counter()
    extend_path(terms["paths"])
    adapter = load(
        terms["entry"], terms["args"], terms["format"], terms["reward_range"], lambda text: None
    )
    loaded = time.perf_counter()
    spent = time.process_time()
    rewards = rollouts(adapter, terms)
    ran, spent = time.perf_counter(), time.process_time() - spent
    said = {"load": loaded - began, "run": ran - loaded, "cpu": spent, "rewards": rewards}
    json.dump(said, sys.stdout)
