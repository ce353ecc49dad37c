"""Summarise: from rollouts to the numbers that are published."""

from collections import defaultdict
from typing import Any

import numpy as np

from graders import jobs, services
from graders.beating import Heartbeat
from graders.errors import EnvironmentFault
from graders.jobs import Claim
from graders.metrics import diversity, report
from graders.metrics.difficulty import TaskRewards
from graders.models import Evaluation, Rollout, Task

# More errors than this, and what is left says little about the environment.
MOST_ERRORS = 0.5


def run(held: Claim, _: Heartbeat) -> None:
    """Carry out a summarise job."""
    evaluation = held.job.evaluation
    rollouts = list(Rollout.objects.filter(task__evaluation=evaluation).select_related("task"))
    _check(rollouts)
    difficulty = _difficulty(evaluation, rollouts)
    spread = _diversity(evaluation)
    cost = _cost(rollouts)
    with jobs.guarded(held) as job:
        _keep_tasks(evaluation, difficulty)
        services.complete(
            evaluation,
            report=_report(evaluation, difficulty, spread, cost, rollouts),
            headline=_headline(evaluation, difficulty, spread, cost),
        )
        jobs.finish(job, log=f"{len(rollouts)} rollouts of {difficulty.tasks} tasks")


def _check(rollouts: list[Rollout]) -> None:
    failed = [rollout for rollout in rollouts if rollout.error_kind]
    if len(failed) > MOST_ERRORS * len(rollouts) or len(failed) == len(rollouts):
        first = failed[0]
        raise EnvironmentFault(
            f"{len(failed)} of {len(rollouts)} rollouts ended in an error. "
            f"Task {first.task.index}, rollout {first.number}: {first.error}"
        )


def _difficulty(evaluation: Evaluation, rollouts: list[Rollout]) -> report.DifficultyReport:
    rewards: dict[int, list[float]] = defaultdict(list)
    for rollout in rollouts:
        kept = rewards[rollout.task.index]
        if rollout.reward is not None:
            kept.append(rollout.reward)
    version = evaluation.version
    return report.summarise(
        [TaskRewards(task, tuple(values)) for task, values in rewards.items()],
        group=evaluation.settings["group"],
        pass_threshold=version.pass_threshold,
        reward_range=(version.reward_low, version.reward_high),
    )


def _diversity(evaluation: Evaluation) -> diversity.DiversityReport:
    tasks = evaluation.tasks.values_list("embedding", "has_near_duplicate")
    embeddings = np.array([embedding for embedding, _ in tasks])
    return diversity.summarise(embeddings, [flag for _, flag in tasks])


def _cost(rollouts: list[Rollout]) -> dict[str, Any]:
    """Totals, and means a rollout; tokens are null if the server did not count them all."""
    n = len(rollouts)
    tokens_in = _total([rollout.tokens_in for rollout in rollouts])
    tokens_out = _total([rollout.tokens_out for rollout in rollouts])
    seconds = sum(rollout.seconds for rollout in rollouts)
    return {
        "tokens_in": tokens_in,
        "tokens_out": tokens_out,
        "tokens_out_per_rollout": None if tokens_out is None else tokens_out / n,
        "seconds": seconds,
        "seconds_per_rollout": seconds / n,
        "truncation_rate": sum(rollout.truncated for rollout in rollouts) / n,
    }


def _total(counts: list[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _report(
    evaluation: Evaluation,
    difficulty: report.DifficultyReport,
    spread: diversity.DiversityReport,
    cost: dict[str, Any],
    rollouts: list[Rollout],
) -> dict[str, Any]:
    measured = difficulty.to_json()
    measured.pop("rows")  # they are the Task rows
    found = spread.to_json()
    found["vs2_128"] = found.pop("vs2")
    kinds = [rollout.error_kind for rollout in rollouts]
    return {
        "difficulty": measured | {"rollouts_per_task": evaluation.settings["rollouts"]},
        "diversity": found,
        "cost": cost,
        "errors": {
            "rollouts": len(rollouts),
            "environment": kinds.count("environment"),
            "context": kinds.count("context"),
        },
    }


def _headline(
    evaluation: Evaluation,
    difficulty: report.DifficultyReport,
    spread: diversity.DiversityReport,
    cost: dict[str, Any],
) -> dict[str, Any]:
    shown = {
        "mean_reward": difficulty.mean_reward,
        "pass_at_1": difficulty.pass_at_1,
        "signal": difficulty.signal,
        "vs2": spread.vs2,
    }
    columns: dict[str, Any] = {
        "model": str(evaluation.model),
        "tasks": difficulty.tasks,
        "rollouts": evaluation.settings["rollouts"],
        "group": difficulty.group,
        "tokens": cost["tokens_out_per_rollout"],
    }
    for name, estimate in shown.items():
        columns[name] = estimate.value if estimate else None
        columns[f"{name}_low"] = estimate.low if estimate else None
        columns[f"{name}_high"] = estimate.high if estimate else None
    return columns


def _keep_tasks(evaluation: Evaluation, difficulty: report.DifficultyReport) -> None:
    rows = {row.task: row for row in difficulty.rows}
    tasks = list(evaluation.tasks.filter(index__in=rows))
    for task in tasks:
        row = rows[task.index]
        task.n, task.p, task.mean_reward, task.signal = row.n, row.p, row.mean, row.signal
    Task.objects.bulk_update(tasks, ["n", "p", "mean_reward", "signal"])
