"""A list of questions with a scorer, in reasoning-gym's shape; one turn each.

`data[i]` is a mapping with "question", `len(data)` how many there are (none, or over a billion:
endless), and `data.score_answer(answer, entry)` the reward.

Such scorers expect the bare answer. So unless the dataset has a `system_prompt` of its own (an
empty one counts), the model is told to mark its answer, and only what is inside the last marks is
scored. With a `system_prompt`, or where the model set no marks, the whole reply is.
"""

import re
from collections.abc import Mapping
from typing import Any

from ..attempts import Attempt, Message
from ..faults import BadEnvironment, LoadError, shown
from .base import Adapter, Outcome, messages, number, opening, total

ENDLESS = 10**9
MARKING = (
    "Think about the question as long as you need. Then give your final answer, and nothing else, "
    "between <answer> and </answer>."
)
_MARKED = re.compile(r"<answer>((?:(?!<answer>).)*?)</answer>", re.DOTALL)


class Dataset(Adapter):
    """One object, shared by all rollouts."""

    name = "dataset"
    needs = "__getitem__(i) and score_answer(answer, entry)"

    @classmethod
    def recognise(cls, made: object) -> bool:
        methods = (getattr(made, name, None) for name in ("__getitem__", "score_answer"))
        return not isinstance(made, type) and all(callable(method) for method in methods)

    def tasks(self) -> int | None:
        if not hasattr(self.source.first, "__len__"):
            return None
        try:
            length = len(self.source.first)
        except (OverflowError, TypeError, NotImplementedError):
            return None  # Longer than a len() can say, or without one after all.
        if length == 0:
            raise LoadError("The dataset is empty: len() gave 0.")
        return length if length <= ENDLESS else None

    async def preview(self, attempt: Attempt) -> list[Message]:
        return attempt.pose(self._pose, attempt.task)[0]

    async def rollout(self, attempt: Attempt) -> Outcome:
        conversation, entry = attempt.pose(self._pose, attempt.task)
        reply = await attempt.ask(conversation)
        reward = attempt.play(self._score, reply, entry)
        return Outcome(total([reward], self.reward_range), 1)

    def _pose(self, task: int) -> tuple[list[Message], Any]:
        data = self.source.first
        entry = data[task]
        if not isinstance(entry, Mapping) or not isinstance(entry.get("question"), str):
            raise BadEnvironment(
                f'Entry {task} is {shown(entry)}; it must be a mapping with a text "question".'
            )
        return [*self.instructions(), *messages(entry["question"])], entry

    def _score(self, reply: str, entry: Any) -> float:
        scored = self.source.first.score_answer(self.answer(reply), entry)
        return number(scored, "What score_answer() returned")

    def instructions(self) -> list[Message]:
        """What stands before each question."""
        return opening(self.source.first) if self._has_prompt() else _system(MARKING)

    def answer(self, reply: str) -> str | None:
        """What of a reply is scored."""
        return reply if self._has_prompt() else _marked(reply)

    def _has_prompt(self) -> bool:
        return getattr(self.source.first, "system_prompt", None) is not None


def _system(text: str) -> list[Message]:
    return [{"role": "system", "content": text}]


def _marked(reply: str) -> str:
    found = _MARKED.findall(reply)
    return found[-1].strip() if found else reply
