"""Environments that are stepped: the model's reply is a step, until there is nothing more to do."""

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any

from ..attempts import Attempt, Message
from .base import Outcome, total
from .objects import Objects


@dataclass(frozen=True)
class Step:
    """What one step led to, checked.

    `messages` is what is said to the model after it, or the whole conversation if `is_whole`.
    `said` is what the conversation keeps of the model's reply, None for all of it.
    """

    messages: list[Message]
    reward: float = 0.0
    is_last: bool = False
    metrics: dict[str, float] = field(default_factory=dict)
    is_whole: bool = False
    said: str | None = None


class Steps(Objects):
    """Task i is what begins with seed i.

    The reward of a rollout is the sum of its steps', its metrics those of the last step.
    """

    @abstractmethod
    def begin(self, env: Any, task: int) -> list[Message]:
        """Start a task; returns the conversation that opens it."""

    @abstractmethod
    def step(self, env: Any, reply: str) -> Step:
        """Let the environment take the model's reply."""

    async def preview(self, attempt: Attempt) -> list[Message]:
        async with self.environment(attempt) as env:
            return attempt.pose(self.begin, env, attempt.task)

    async def rollout(self, attempt: Attempt) -> Outcome:
        async with self.environment(attempt) as env:
            conversation = attempt.pose(self.begin, env, attempt.task)
            rewards: list[float] = []
            while True:
                reply = await attempt.ask(conversation)
                step = attempt.play(self.step, env, reply)
                rewards.append(step.reward)
                if step.is_last or len(rewards) == attempt.max_turns:
                    break
                kept = reply if step.said is None else step.said
                said: Message = {"role": "assistant", "content": kept}
                before = [] if step.is_whole else [*conversation, said]
                conversation = [*before, *step.messages]
        return Outcome(total(rewards, self.reward_range), len(rewards), step.metrics)
