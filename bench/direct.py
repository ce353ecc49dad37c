"""The same rollouts in one process: the runner's adapter, a model at hand, no frames, no worker.

Standard library only, and run by an interpreter without site-packages, as the runner is.
"""

import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from graders.runner.attempts import Attempt
from graders.runner.isolation import Guard
from graders.runner.loading import extend_path, load


class Desk:
    """Takes the place of the wire to the worker: whoever asks is answered at once."""

    def __init__(self, completion: dict[str, Any]) -> None:
        self._reply = {"body": completion}
        self._here = threading.local()

    def serve(self, attempt: Attempt) -> None:
        """Answer this thread's attempt from now on."""
        self._here.attempt = attempt

    def send(self, kind: str, **keys: Any) -> None:
        self._here.attempt.answer(keys["rid"], self._reply)


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
    guard = Guard(30.0, lambda: None)
    desk: Any = Desk(terms["completion"])

    def one(number: int) -> float:
        turns = terms["max_turns"]
        attempt = Attempt(desk, guard, number, task=number, seed=number, max_turns=turns)
        desk.serve(attempt)
        return adapter.rollout(attempt).reward

    spent = time.process_time()
    with ThreadPoolExecutor(terms["concurrency"]) as pool:
        rewards = list(pool.map(one, range(terms["count"])))
    ran, spent = time.perf_counter(), time.process_time() - spent
    said = {"load": loaded - began, "run": ran - loaded, "cpu": spent, "rewards": rewards}
    json.dump(said, sys.stdout)
