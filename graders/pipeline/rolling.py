"""Rollouts: one shard of tasks against the reference model, in the sandbox.

Results are written as they come, a batch a transaction: what a killed worker had done stays
done, and whoever takes the job over goes on from there.
"""

import time

from graders import jobs, services, transcripts
from graders.beating import Heartbeat
from graders.errors import ModelUnavailable
from graders.jobs import Claim
from graders.models import Evaluation, Rollout, Task
from graders.pipeline import launching, sampling
from graders.policy import Endpoint, Policy, Sampler
from graders.session import Request, RolloutResult, Session
from graders.tooltext import ToolCalls

BATCH = 16
BATCH_S = 2.0
ERROR_LIMIT = 4000


def run(held: Claim, heartbeat: Heartbeat) -> None:
    """Carry out a rollouts job."""
    evaluation = held.job.evaluation
    tasks = {task.index: task for task in _shard(evaluation, held.job.shard)}
    requests = _missing(evaluation, tasks)
    heartbeat.say(f"{len(requests)} rollouts of {len(tasks)} tasks to do")
    writer = _Writer(held, heartbeat, tasks, evaluation.version.pass_threshold)
    if requests:
        _roll_out(held, heartbeat, requests, writer)
    with jobs.guarded(held) as job:
        jobs.finish(job)
        services.rolled_out(job)


def _roll_out(
    held: Claim, heartbeat: Heartbeat, requests: list[Request], writer: "_Writer"
) -> None:
    evaluation = held.job.evaluation
    with launching.prepared(evaluation) as prepared:
        terms = launching.launch(
            evaluation,
            prepared,
            job=f"rollouts-{held.job.pk}-{held.token}",
            seconds=evaluation.profile.shard_seconds,
        )
        with Session(prepared.sandbox, terms, policy(evaluation), heartbeat) as session:
            try:
                session.run(requests, writer.take)
            finally:
                writer.flush()
    if writer.unanswered:
        raise ModelUnavailable(
            f"The reference model did not answer in {len(writer.unanswered)} of {len(requests)} "
            f"rollouts: {writer.unanswered[0]}"
        )


def policy(evaluation: Evaluation) -> Policy:
    """The reference model under the sampler that this evaluation began with."""
    model, chosen = evaluation.model, evaluation.settings
    return Policy(
        Endpoint(
            base_url=model.base_url,
            model=chosen["model"],
            api_key=model.api_key,
            # Of an evaluation that began before the hub knew tools, the model as it is now.
            tools=ToolCalls(chosen.get("tool_calls", model.tool_calls)),
            timeout_s=model.timeout_s,
            concurrency=model.concurrency,
        ),
        Sampler(
            temperature=chosen["temperature"],
            top_p=chosen["top_p"],
            max_tokens=chosen["token_limit"],
        ),
    )


def _shard(evaluation: Evaluation, shard: int) -> list[Task]:
    size = evaluation.profile.shard_tasks
    end = min((shard + 1) * size, evaluation.settings["tasks"])
    return list(evaluation.tasks.filter(position__gte=shard * size, position__lt=end))


def _missing(evaluation: Evaluation, tasks: dict[int, Task]) -> list[Request]:
    """The rollouts of these tasks that nobody has done yet: first one of each task, then another.

    A server with as many slots as a shard has tasks then finds each prompt where it left it.
    """
    done = set(Rollout.objects.filter(task__in=tasks.values()).values_list("task__index", "number"))
    digest = evaluation.version.sha256
    return [
        Request(task=index, number=number, seed=sampling.seed(digest, index, number))
        for number in range(evaluation.settings["rollouts"])
        for index in tasks
        if (index, number) not in done
    ]


class _Writer:
    """Collects results and writes them in batches, as long as the job is ours."""

    def __init__(
        self, held: Claim, heartbeat: Heartbeat, tasks: dict[int, Task], threshold: float
    ) -> None:
        self._held = held
        self._heartbeat = heartbeat
        self._tasks = tasks
        self._threshold = threshold
        self._batch: list[RolloutResult] = []
        self._since = time.monotonic()
        self._written = 0
        self.unanswered: list[str] = []

    def take(self, result: RolloutResult) -> None:
        """Keep one result."""
        if result.error_kind == "model":
            self.unanswered.append(result.error_text)
            return
        self._batch.append(result)
        if len(self._batch) >= BATCH or time.monotonic() - self._since >= BATCH_S:
            self.flush()

    def flush(self) -> None:
        """Write what was collected."""
        batch, self._batch, self._since = self._batch, [], time.monotonic()
        if not batch:
            return
        places = transcripts.write(self._held.job.evaluation_id, [r.messages for r in batch])
        with jobs.guarded(self._held):
            Rollout.objects.bulk_create(
                self._row(result, place) for result, place in zip(batch, places, strict=True)
            )
        self._written += len(batch)
        self._heartbeat.say(f"{self._written} done")

    def _row(self, result: RolloutResult, place: transcripts.Place) -> Rollout:
        passed = None if result.reward is None else result.reward >= self._threshold
        return Rollout(
            task=self._tasks[result.task],
            number=result.number,
            seed=result.seed,
            reward=result.reward,
            passed=passed,
            turns=result.turns,
            tokens_in=result.tokens_in,
            tokens_out=result.tokens_out,
            truncated=result.truncated,
            seconds=result.seconds,
            metrics=result.metrics,
            per_agent=result.per_agent,
            error_kind=result.error_kind or "",
            error=result.error_text[:ERROR_LIMIT],
            transcript_key=place.key,
            transcript_offset=place.offset,
            transcript_length=place.length,
        )
