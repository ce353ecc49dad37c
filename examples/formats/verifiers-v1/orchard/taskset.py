"""The tasks, and how they are scored."""

import random
from collections.abc import Iterator
from typing import Any, Literal

import verifiers.v1 as vf

from orchard.crates import Crates, OrchardState

SYSTEM = "Answer with the number, or the letter, alone."
APPLES = 30


class OrchardData(vf.TaskData):
    job: str
    answer: str
    crates: dict[str, int] = {}


class OrchardTaskConfig(vf.TaskConfig):
    has_crates: bool = False
    crates: vf.ToolsetConfig = vf.ToolsetConfig()


class OrchardTask(vf.Task[OrchardData, OrchardState, OrchardTaskConfig]):
    @classmethod
    def toolsets(cls, config: OrchardTaskConfig) -> list[vf.Toolset]:
        return [Crates(config.crates)] if config.has_crates else []

    @vf.reward(weight=1.0)
    async def right(self, trace: vf.Trace) -> float:
        said = [node.message.content or "" for node in trace.nodes if node.sampled]
        return float(bool(said) and said[-1].strip().rstrip(".") == self.data.answer)

    @vf.metric
    async def opened(self, trace: vf.Trace) -> float:
        return float(trace.state.opened)


class OrchardConfig(vf.TasksetConfig):
    job: Literal["count", "guess", "crates", "any"] = "any"
    size: int = 100
    seed: int = 0
    task: OrchardTaskConfig = OrchardTaskConfig()


class OrchardTaskset(vf.Taskset[OrchardTask, OrchardConfig]):
    def load(self) -> Iterator[OrchardTask]:
        draw = random.Random(self.config.seed)
        for job, make in JOBS.items():
            if self.config.job not in (job, "any"):
                continue
            config = self.config.task.model_copy(update={"has_crates": job == "crates"})
            for _ in range(self.config.size):
                data = OrchardData(job=job, system_prompt=SYSTEM, **make(draw))
                yield OrchardTask(data, config)


def _count(draw: random.Random) -> dict[str, Any]:
    trees, each, rotten = draw.randint(3, 9), draw.randint(11, 29), draw.randint(2, 9)
    told = f"{trees} trees bear {each} apples each, and {rotten} of all are rotten."
    return {"prompt": f"{told} How many are good?", "answer": str(trees * each - rotten)}


def _guess(draw: random.Random) -> dict[str, Any]:
    prompt = f"How many apples hang on this tree? There are 1 to {APPLES}."
    return {"prompt": prompt, "answer": str(draw.randint(1, APPLES))}


def _crates(draw: random.Random) -> dict[str, Any]:
    crates = dict(zip("ABCD", draw.sample(range(10, 99), 4), strict=True))
    return {
        "prompt": "Which of the crates A, B, C and D holds the most apples?",
        "answer": max(crates, key=lambda one: crates[one]),
        "crates": crates,
    }


JOBS = {"count": _count, "guess": _guess, "crates": _crates}
