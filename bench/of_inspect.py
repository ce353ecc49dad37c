"""The rollouts as an Inspect task of the same data and scorer; for an interpreter that has it.

`rollouts` is what is compared. `calls` makes the same requests to the model and nothing else;
`alone` is the task with a model at hand, so without a request.
"""

import asyncio
import json
import sys
import tempfile

import sums_data
from inspect_ai import Task, eval  # noqa: A004
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.log import EvalLog
from inspect_ai.model import (
    ChatMessageSystem,
    ChatMessageUser,
    Model,
    ModelOutput,
    ModelUsage,
    get_model,
)
from inspect_ai.scorer import exact
from inspect_ai.solver import generate, system_message

from bench.clock import Clock
from bench.instant import MODEL


def task(count: int) -> Task:
    rows = sums_data.rows(count)
    samples = [Sample(input=row["question"], target=row["answer"]) for row in rows]
    solver = [system_message(sums_data.SYSTEM), generate()]
    return Task(dataset=MemoryDataset(samples), solver=solver, scorer=exact())


def reached(url: str) -> Model:
    return get_model(f"openai/{MODEL}", base_url=url, api_key="none", responses_api=False)


def at_hand(answer: str, count: int) -> Model:
    outputs = [ModelOutput.from_content(MODEL, answer) for _ in range(count)]
    for output in outputs:
        output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
    return get_model("mockllm/model", custom_outputs=outputs)


async def calls(url: str, count: int, concurrency: int) -> None:
    model, gate = reached(url), asyncio.Semaphore(concurrency)

    async def one(question: str) -> None:
        prompt = [ChatMessageSystem(content=sums_data.SYSTEM), ChatMessageUser(content=question)]
        async with gate:
            await model.generate(prompt)

    await asyncio.gather(*(one(row["question"]) for row in sums_data.rows(count)))


def evaluated(made: Task, model: Model, concurrency: int, logs: str) -> EvalLog:
    """Without its screen and its live view."""
    (log,) = eval(
        made,
        model=model,
        max_connections=concurrency,
        max_samples=concurrency,
        display="none",
        log_realtime=False,
        log_dir=logs,
    )
    return log


def main() -> None:
    """Do what the JSON in the first argument says; print when, and the rewards."""
    terms, clock = json.loads(sys.argv[1]), Clock()
    clock.mark("imported")
    url, count, concurrency = terms["url"], terms["count"], terms["concurrency"]
    made = task(count)
    clock.mark("loaded")
    if terms["what"] == "calls":
        asyncio.run(calls(url, count, concurrency))
        clock.mark("ended")
        return clock.tell()
    is_alone = terms["what"] == "alone"
    model = at_hand(terms["answer"], count) if is_alone else reached(url)
    with tempfile.TemporaryDirectory(prefix="practicum-bench-") as logs:
        log = evaluated(made, model, concurrency, logs)
        clock.mark("ended")
        rewards = [float(sample.scores["exact"].value == "C") for sample in log.samples]
    clock.tell(rewards=rewards)
