"""Find the one heavy jar with a pair of scales, a tool that needs the rollout's own state."""

import random

import verifiers as vf
from datasets import Dataset

LETTERS = "ABCDEFGHI"
SYSTEM = (
    f"Jars {', '.join(LETTERS)} look alike, but one is heavier. Compare jars with the weigh tool. "
    "Once you know, answer with the letter of the heavy jar alone."
)


def weigh(left: list[str], right: list[str], heavy: str) -> str:
    """Compare two handfuls of jars.

    Args:
        left: letters of the jars on the left scale
        right: as many letters for the right one
        heavy: the heavy jar
    """
    if len(left) != len(right):
        raise ValueError("Lay as many jars on the left as on the right.")
    if heavy in left:
        return "The left side is heavier."
    return "The right side is heavier." if heavy in right else "Both sides weigh the same."


class Scales(vf.StatefulToolEnv):
    def __init__(self, **kwargs) -> None:
        super().__init__(tools=[], **kwargs)
        self.add_tool(weigh, args_to_skip=["heavy"])

    def update_tool_args(self, tool_name, tool_args, messages, state, **_) -> dict:
        return {**tool_args, "heavy": state["answer"]}


def is_right(completion, answer) -> float:
    return float((completion[-1].content or "").strip().rstrip(".") == answer)


def load_scales(size: int, seed: int) -> vf.Environment:
    draw = random.Random(seed)
    rows = [{"question": "Which jar is it?", "answer": draw.choice(LETTERS)} for _ in range(size)]
    return Scales(
        dataset=Dataset.from_list(rows),
        system_prompt=SYSTEM,
        rubric=vf.Rubric(funcs=[is_right]),
        max_turns=6,
    )
