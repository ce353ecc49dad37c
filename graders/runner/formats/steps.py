"""Environments that are stepped: the model's reply is a step, until there is nothing more to do.

Task i is what begins with seed i. The entry is called anew for every rollout. Attributes of an
environment that count if they are there: `num_tasks` (int), `close()`.
"""

import threading
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ..attempts import Attempt, Message
from ..faults import BadEnvironment, LoadError, describe, shown
from .base import Adapter, Outcome, total


@dataclass(frozen=True)
class Step:
    """What one step led to, checked. `messages` is what is said to the model after it."""

    messages: list[Message]
    reward: float = 0.0
    is_last: bool = False
    metrics: dict[str, float] = field(default_factory=dict)


class Steps(Adapter):
    """One environment object for each rollout, or one after the other if there is only one.

    The reward of a rollout is the sum of its steps', its metrics those of the last step.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._changed = threading.Condition()
        self._taken: list[object] = []

    @abstractmethod
    def begin(self, env: Any, task: int) -> list[Message]:
        """Start a task; returns the conversation that opens it."""

    @abstractmethod
    def step(self, env: Any, reply: str) -> Step:
        """Let the environment take the model's reply."""

    def tasks(self) -> int | None:
        found = getattr(self.source.first, "num_tasks", None)
        if found is None:
            return None
        if not isinstance(found, int) or isinstance(found, bool) or found < 1:
            raise LoadError(f"num_tasks is {shown(found)}; it must be an int of at least 1.")
        return found

    def preview(self, attempt: Attempt) -> list[Message]:
        with self.environment(attempt) as env:
            return attempt.pose(self.begin, env, attempt.task)

    def rollout(self, attempt: Attempt) -> Outcome:
        with self.environment(attempt) as env:
            conversation = attempt.pose(self.begin, env, attempt.task)
            rewards: list[float] = []
            while True:
                reply = attempt.ask(conversation)
                step = attempt.play(self.step, env, reply)
                rewards.append(step.reward)
                if step.is_last or len(rewards) == attempt.max_turns:
                    break
                conversation = self.continued(env, conversation, reply, step)
        return Outcome(total(rewards, self.reward_range), len(rewards), step.metrics)

    def continued(
        self, env: Any, conversation: list[Message], reply: str, step: Step
    ) -> list[Message]:
        """The conversation after a step that was not the last."""
        return [*conversation, {"role": "assistant", "content": reply}, *step.messages]

    def make(self) -> Any:
        """An environment object, straight from contributed code."""
        return self.source.make()

    @contextmanager
    def environment(self, attempt: Attempt) -> Iterator[Any]:
        """An environment object that no other rollout has, closed afterwards."""
        env = attempt.pose(self.make)
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
