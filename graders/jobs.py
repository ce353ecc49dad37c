"""The job engine. A job's row is the truth; messages only wake workers.

A worker claims a job for a lease, in the database's time, and gets a fencing token. Every write
that follows names the token; once another worker has claimed the job, the old token is stale
and its writes are refused. A job that fails through no fault of the environment is tried again,
at most `MAX_ATTEMPTS` times.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from celery import current_app
from django.db import connection, transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now
from kombu.exceptions import OperationalError

from graders.models import Evaluation, Job
from graders.states import ACTIVE_STAGES, QUEUES, JobKind, JobStatus

logger = logging.getLogger(__name__)

WORK = "graders.work"
LEASE = timedelta(seconds=60)
HEARTBEAT_S = 15.0
MAX_ATTEMPTS = 3
BACKOFF = timedelta(seconds=5)
LOG_LIMIT = 64 * 1024


class LeaseLost(Exception):
    """Another worker has the job, or it was cancelled: whatever was at hand must not be written."""


@dataclass(frozen=True)
class Claim:
    """The right to work on a job until the lease runs out."""

    job: Job
    token: int


def open_jobs() -> QuerySet[Job]:
    """Jobs that a worker may claim now: queued ones that are due, and those whose lease ran out."""
    due = Q(status=JobStatus.QUEUED) & (Q(not_before__isnull=True) | Q(not_before__lte=Now()))
    abandoned = Q(status=JobStatus.RUNNING, lease_until__lt=Now())
    return Job.objects.filter(due | abandoned, evaluation__stage__in=ACTIVE_STAGES)


@transaction.atomic
def claim(*, job_id: int, worker: str) -> Claim | None:
    """Take a job, or None if it is not to be had."""
    job = open_jobs().select_for_update(of=("self",), skip_locked=True).filter(pk=job_id).first()
    if job is None:
        return None
    Job.objects.filter(pk=job.pk).update(
        status=JobStatus.RUNNING,
        attempt=F("attempt") + 1,
        token=F("token") + 1,
        lease_until=Now() + LEASE,
        not_before=None,
        worker=worker,
    )
    job.refresh_from_db()
    return Claim(job, job.token)


def extend(held: Claim) -> bool:
    """Prolong the lease. False if it is no longer ours."""
    return bool(_held(held).update(lease_until=Now() + LEASE))


@contextmanager
def guarded(held: Claim) -> Iterator[Job]:
    """A transaction in which the job is surely still ours. Raises LeaseLost otherwise."""
    with transaction.atomic():
        job = _held(held).select_for_update().select_related(None).first()
        if job is None:
            raise LeaseLost
        yield job


def finish(job: Job, *, log: str = "") -> None:
    """Mark a job done. Called inside `guarded`."""
    _close(job, JobStatus.DONE, log)


def fail(job: Job, *, log: str) -> None:
    """Mark a job failed for good. Called inside `guarded`."""
    _close(job, JobStatus.FAILED, log)


def retry_later(job: Job, *, log: str) -> bool:
    """Put a job back, a little later each time. False once its attempts are used up."""
    if job.attempt >= MAX_ATTEMPTS:
        return False
    Job.objects.filter(pk=job.pk).update(
        status=JobStatus.QUEUED,
        lease_until=None,
        not_before=Now() + BACKOFF * 2 ** (job.attempt - 1),
        woken=None,
        log=_joined(job, log),
    )
    return True


def cancel_all(evaluation: Evaluation) -> None:
    """Cancel what is not finished; workers notice at their next write or heartbeat."""
    evaluation.jobs.filter(status__in=[JobStatus.QUEUED, JobStatus.RUNNING]).update(
        status=JobStatus.CANCELLED, lease_until=None
    )


def add(evaluation: Evaluation, kind: JobKind, shard: int = 0) -> Job:
    """Add a job, once, and wake a worker when the transaction commits."""
    job, created = Job.objects.get_or_create(evaluation=evaluation, kind=kind, shard=shard)
    if created:
        transaction.on_commit(lambda: wake(job))
    return job


def wake(job: Job) -> None:
    """Send a job's message. If the broker does not answer, the sweeper sends it again."""
    Job.objects.filter(pk=job.pk).update(woken=Now())
    try:
        current_app.send_task(WORK, [job.pk], queue=QUEUES[JobKind(job.kind)], retry=False)
    except OperationalError:
        logger.warning("The broker does not answer; the sweeper will send %s again.", job)


class Heartbeat:
    """Extends a lease from a thread of its own while the job is worked on.

    `lost` is set once the lease is not ours any more; long steps look at it.
    """

    def __init__(self, held: Claim) -> None:
        self._held = held
        self._stop = threading.Event()
        self.lost = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True, name="heartbeat")

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def check(self) -> None:
        """Raise LeaseLost once the lease is not ours any more."""
        if self.lost.is_set():
            raise LeaseLost

    def _beat(self) -> None:
        try:
            while not self._stop.wait(HEARTBEAT_S):
                if not extend(self._held):
                    self.lost.set()
                    return
        finally:
            connection.close()


def _held(held: Claim) -> QuerySet[Job]:
    return Job.objects.filter(pk=held.job.pk, token=held.token, status=JobStatus.RUNNING)


def _close(job: Job, status: JobStatus, log: str) -> None:
    Job.objects.filter(pk=job.pk).update(status=status, lease_until=None, log=_joined(job, log))


def _joined(job: Job, log: str) -> str:
    """The job's log with this attempt's added, its oldest part dropped beyond the limit."""
    if not log:
        return job.log
    return f"{job.log}--- attempt {job.attempt} on {job.worker}\n{log.rstrip()}\n"[-LOG_LIMIT:]
