"""Sums, one turn each, scored by the exact answer."""

import verifiers as vf
from datasets import Dataset
from sums_data import SYSTEM, rows


def exact(completion: list[dict[str, str]], answer: str) -> float:
    return float(completion[-1]["content"] == answer)


def load_environment(count: int = 500) -> vf.Environment:
    return vf.SingleTurnEnv(
        eval_dataset=Dataset.from_list(rows(count)),
        system_prompt=SYSTEM,
        rubric=vf.Rubric(funcs=[exact]),
    )
