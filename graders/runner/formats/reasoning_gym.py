"""reasoning-gym's procedural data sets, by name and configuration; one turn each.

The model is told what reasoning-gym's own evaluations tell it: think, then answer between <answer>
and </answer>. What stands in the last marks is scored, by the data set itself and in here, because
some of its entries do not survive a round trip through JSON. A data set without a seed draws one
from the operating system, so it gets 0: its tasks must be the same in every process.
"""

from typing import Any, ClassVar

from .. import imports
from ..attempts import Message
from .dataset import Dataset


class ReasoningGym(Dataset):
    """One data set, shared by all rollouts."""

    name = "reasoning-gym"
    needs = "a ProceduralDataset of reasoning_gym"
    package = "reasoning-gym"
    entry = "reasoning_gym:create_dataset"
    defaults: ClassVar[dict[str, Any]] = {"seed": 0}

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._utils = imports.module("reasoning_gym.utils")
        made = self.source.first
        if getattr(made.config, "seed", 0) is None:
            made.seed = 0

    @classmethod
    def recognise(cls, made: object) -> bool:
        return imports.is_made_by(made, "reasoning_gym", "ProceduralDataset")

    def instructions(self) -> list[Message]:
        return [{"role": "system", "content": self._utils.SYSTEM_PROMPTS["default"].strip()}]

    def answer(self, reply: str) -> str | None:
        found: str | None = self._utils.extract_answer(reply)
        return found
