"""The rollouts by our worker, through a sandbox, with its own client to the model.

`rollouts` is what is compared. `calls` makes the same requests to the model and nothing else.
"""

import asyncio
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import sums_data

from bench.clock import Clock
from bench.instant import MODEL
from graders.policy import Endpoint, Policy, Sampler
from graders.sandbox import Limits, offer
from graders.session import Launch, Request, RolloutResult, Session


def launch(bundle: Path, count: int, concurrency: int) -> Launch:
    return Launch(
        bundle=bundle,
        job="bench",
        entry="sums:load_environment",
        format="verifiers-v0",
        args={"count": count},
        paths=("/env/project", "/env/site-packages"),
        max_turns=1,
        reward_range=(0.0, 1.0),
        limits=Limits(seconds=300.0, memory_mb=1024),
        concurrency=concurrency,
    )


def runner_seconds(bundle: Path) -> float:
    """Processor seconds of what runs in a sandbox with this bundle; 0 where it cannot be seen."""
    ticks = 0
    for process in Path("/proc").iterdir():
        with suppress(OSError):
            if process.name.isdigit() and (process / "root/env").samefile(bundle):
                fields = (process / "stat").read_text().rpartition(")")[2].split()
                ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


async def calls(policy: Policy, count: int, concurrency: int, clock: Clock) -> None:
    system = {"role": "system", "content": sums_data.SYSTEM}
    questions = iter([row["question"] for row in sums_data.rows(count)])

    async def ask() -> None:
        for question in questions:
            await policy.chat({"messages": [system, {"role": "user", "content": question}]}, 1)

    async with policy:
        clock.mark("loaded")
        await asyncio.gather(*(ask() for _ in range(concurrency)))
        clock.mark("ended")


def rollouts(terms: dict[str, Any], policy: Policy, clock: Clock) -> None:
    count, bundle = terms["count"], Path(terms["bundle"])
    state, images = Path(terms["state"]), terms["images"]
    sandbox = offer(terms["driver"], images=images, state_dir=state).default
    results: list[RolloutResult] = []
    terms_of_launch = launch(bundle, count, terms["concurrency"])
    with Session(sandbox, terms_of_launch, policy) as session:
        clock.mark("loaded")
        before = runner_seconds(bundle)
        session.run([Request(task=n, number=0, seed=n) for n in range(count)], results.append)
        clock.mark("ended")
        after = runner_seconds(bundle)
    if failed := next((one for one in results if one.error_kind), None):
        raise RuntimeError(f"{failed.error_kind}: {failed.error_text}")
    rewards = {result.task: result.reward for result in results}
    clock.tell(
        rewards=[rewards[task] for task in range(count)],
        load=session.hello.load_s,
        runner={"load": before, "run": after - before},
    )


def main() -> None:
    """Do what the JSON in the first argument says; print when, and the rewards."""
    terms, clock = json.loads(sys.argv[1]), Clock()
    clock.mark("imported")
    endpoint = Endpoint(terms["url"], MODEL, concurrency=terms["concurrency"])
    policy = Policy(endpoint, Sampler())
    if terms["what"] == "rollouts":
        return rollouts(terms, policy, clock)
    asyncio.run(calls(policy, terms["count"], terms["concurrency"], clock))
    return clock.tell()
