"""Gymnasium's API with text (GEM's too): `reset(seed)`, then `step(text)` until it ends.

Task i is what `reset(seed=i)` gives. The entry is called anew for every rollout. An observation is
text, a list of messages, or anything else as its `str`. The rollout's reward is the sum of its
steps' rewards; numbers in the last step's `info["metrics"]` become its metrics. Attributes that
count if they are there: `system_prompt` (text), `num_tasks` (int), `close()`.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..attempts import Attempt, Message
from ..faults import BadEnvironment, LoadError, describe, shown
from .base import Adapter, Outcome, messages, metrics, number, opening, total


@dataclass(frozen=True)
class Step:
    """What one `step` returned, checked."""

    messages: list[Message]
    reward: float
    is_last: bool
    metrics: dict[str, float]


class Gymnasium(Adapter):
    """One environment object for each rollout, or one after the other if there is only one."""

    name = "gymnasium"
    needs = "reset(seed) and step(text)"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._changed = threading.Condition()
        self._taken: list[object] = []

    @classmethod
    def recognise(cls, made: object) -> bool:
        methods = (getattr(made, name, None) for name in ("reset", "step"))
        return not isinstance(made, type) and all(callable(method) for method in methods)

    def tasks(self) -> int | None:
        found = getattr(self.source.first, "num_tasks", None)
        if found is None:
            return None
        if not isinstance(found, int) or isinstance(found, bool) or found < 1:
            raise LoadError(f"num_tasks is {shown(found)}; it must be an int of at least 1.")
        return found

    def preview(self, attempt: Attempt) -> list[Message]:
        with self._environment(attempt) as env:
            return attempt.pose(_reset, env, attempt.task)

    def rollout(self, attempt: Attempt) -> Outcome:
        with self._environment(attempt) as env:
            conversation = attempt.pose(_reset, env, attempt.task)
            rewards: list[float] = []
            while True:
                reply = attempt.ask(conversation)
                step = attempt.play(_step, env, reply)
                rewards.append(step.reward)
                if step.is_last or len(rewards) == attempt.max_turns:
                    break
                answer = {"role": "assistant", "content": reply}
                conversation = [*conversation, answer, *step.messages]
        return Outcome(total(rewards, self.reward_range), len(rewards), step.metrics)

    @contextmanager
    def _environment(self, attempt: Attempt) -> Iterator[Any]:
        """An environment object that no other rollout has, closed afterwards."""
        env = attempt.pose(self.source.make)
        if not self.recognise(env):
            raise BadEnvironment(f"The entry gave {shown(env)}, which lacks {self.needs}.")
        with self._owned(env):
            try:
                yield env
            finally:
                self._close(attempt, env)

    @contextmanager
    def _owned(self, env: object) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: all(env is not other for other in self._taken))
            self._taken.append(env)
        try:
            yield
        finally:
            with self._changed:
                self._taken = [other for other in self._taken if other is not env]
                self._changed.notify_all()

    def _close(self, attempt: Attempt, env: Any) -> None:
        if env is self.source.first or not callable(getattr(env, "close", None)):
            return  # The first one lives as long as the runner.
        try:
            attempt.play(env.close)
        except Exception as error:
            self.log(f"close() raised {describe(error, ())}")


def _reset(env: Any, task: int) -> list[Message]:
    made = env.reset(seed=task)
    if not isinstance(made, tuple) or len(made) != 2:
        raise BadEnvironment(f"reset() returned {shown(made)}; it must return (observation, info).")
    return [*opening(env), *messages(made[0])]


def _step(env: Any, text: str) -> Step:
    made = env.step(text)
    if not isinstance(made, tuple) or len(made) != 5:
        raise BadEnvironment(
            f"step() returned {shown(made)}; it must return "
            "(observation, reward, terminated, truncated, info)."
        )
    observation, reward, terminated, truncated, info = made
    is_last = bool(terminated) or bool(truncated)
    return Step(
        messages=[] if is_last else messages(observation),
        reward=number(reward, "The reward of step()"),
        is_last=is_last,
        metrics=metrics(info.get("metrics")) if isinstance(info, Mapping) else {},
    )
