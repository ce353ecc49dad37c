"""The job engine. A job's row is the truth; messages only wake workers.

A worker claims a job for a lease, in the database's time, and gets a fencing token. Every write
that follows names the token; once another worker has claimed the job, the old token is stale
and its writes are refused. A job that fails through no fault of the environment is tried again,
at most `MAX_ATTEMPTS` times; then it is dead, and waits with its log for an operator.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now

from graders import scheduling, waking
from graders.logs import Log
from graders.models import Evaluation, Job
from graders.states import ACTIVE_STAGES, QUEUES, JobKind, JobStatus, job_sources

MAX_ATTEMPTS = 3
# A job that was claimed so often counts its attempts even if each worker gave it back.
MAX_FREE_CLAIMS = 20
BACKOFF = timedelta(seconds=5)


class LeaseLost(Exception):
    """Another worker has the job, or it was cancelled: whatever was at hand must not be written."""


@dataclass(frozen=True)
class Claim:
    """The right to work on a job until the lease runs out, and the log of the work."""

    job: Job
    token: int
    log: Log


@transaction.atomic
def claim(*queues: str, worker: str) -> Claim | None:
    """Take the job of these queues whose turn it is, or None if there is none to be had."""
    job = scheduling.fairest(*queues)
    if job is None:
        return None
    log = Log(job.log)
    log.add(f"--- attempt {job.attempt + 1} on {worker}")
    Job.objects.filter(pk=job.pk).update(
        status=JobStatus.RUNNING,
        attempt=F("attempt") + 1,
        token=F("token") + 1,
        lease_until=_lease(),
        not_before=None,
        started=Now(),
        heartbeat=Now(),
        worker=worker,
        log=log.text(),
    )
    job.refresh_from_db()
    return Claim(job, job.token, log)


def extend(held: Claim) -> bool:
    """Prolong the lease and keep the log so far. False if the lease is no longer ours."""
    return bool(held_row(held).update(lease_until=_lease(), heartbeat=Now(), log=held.log.text()))


def held_row(held: Claim) -> QuerySet[Job]:
    """The claimed row, as long as it is ours."""
    return Job.objects.filter(pk=held.job.pk, token=held.token, status=JobStatus.RUNNING)


@contextmanager
def guarded(held: Claim) -> Iterator[Job]:
    """A transaction in which the job is surely still ours. Raises LeaseLost otherwise."""
    with transaction.atomic():
        # The evaluation first, as whoever ends it does: no job is added to one that is over.
        evaluations = Evaluation.objects.filter(stage__in=ACTIVE_STAGES).only("pk")
        locked = evaluations.select_for_update(no_key=True).filter(pk=held.job.evaluation_id)
        job = held_row(held).select_for_update().first() if locked.first() else None
        if job is None:
            raise LeaseLost
        job.log = held.log.text()
        yield job


def finish(job: Job, *, log: str = "") -> None:
    """Mark a job done. Called inside `guarded`, as the next four."""
    _close(job, JobStatus.DONE, log)


def fail(job: Job, *, log: str) -> None:
    """Mark a job failed for good: the environment is at fault."""
    _close(job, JobStatus.FAILED, log)


def bury(job: Job, *, log: str) -> None:
    """Mark a job dead: the platform is at fault, and its attempts are used up."""
    _close(job, JobStatus.DEAD, log)


def retry_later(job: Job, *, log: str) -> bool:
    """Put a job back, a little later each time. False once its attempts are used up."""
    if job.attempt >= MAX_ATTEMPTS:
        return False
    _put_back(job, log, not_before=Now() + BACKOFF * 2 ** (job.attempt - 1))
    return True


def give_back(job: Job, *, log: str) -> None:
    """Put a job back at once, as if this attempt had not been: its worker has to stop."""
    counted = job.attempt if job.token > MAX_FREE_CLAIMS else job.attempt - 1
    _put_back(job, log, not_before=None, attempt=counted)
    wake_after_commit(job)


def cancel_all(evaluation: Evaluation) -> None:
    """Cancel what is not finished; workers notice within seconds, or at their next write."""
    evaluation.jobs.filter(status__in=job_sources(JobStatus.CANCELLED)).update(
        status=JobStatus.CANCELLED, lease_until=None, finished=Now()
    )


def revive(evaluation: Evaluation, *, why: str) -> None:
    """Put back an evaluation's dead job, and those that its death had cancelled."""
    for job in evaluation.jobs.filter(status__in=[JobStatus.DEAD, JobStatus.CANCELLED]):
        _put_back(job, f"--- {why}", not_before=None, attempt=0, finished=None)
        wake_after_commit(job)


def add(evaluation: Evaluation, kind: JobKind, shard: int = 0) -> Job:
    """Add a job, once, and wake a worker when the transaction commits."""
    job, created = Job.objects.get_or_create(
        evaluation=evaluation,
        kind=kind,
        shard=shard,
        defaults={"owner_id": evaluation.version.environment.owner_id},
    )
    if created:
        wake_after_commit(job)
    return job


def wake_after_commit(job: Job) -> None:
    """Send a message for a job once it is there to be claimed."""
    queue = QUEUES[JobKind(job.kind)]
    transaction.on_commit(lambda: waking.wake(queue))


def top_up(queue: str, most: int = 1) -> None:
    """See to it that a message waits for each job that could be claimed, for up to `most`."""
    waiting = waking.waiting(queue)
    if waiting is not None and waiting < most:
        waking.wake(queue, scheduling.count(queue, most) - waiting)


def _lease() -> CombinedExpression:
    return Now() + timedelta(seconds=settings.JOB_LEASE_SECONDS)


def _put_back(job: Job, log: str, **changed: object) -> None:
    Job.objects.filter(pk=job.pk).update(
        status=JobStatus.QUEUED, lease_until=None, log=_joined(job, log), **changed
    )


def _close(job: Job, status: JobStatus, log: str) -> None:
    Job.objects.filter(pk=job.pk).update(
        status=status, lease_until=None, finished=Now(), log=_joined(job, log)
    )


def _joined(job: Job, line: str) -> str:
    log = Log(job.log)
    log.add(line)
    return log.text()
