"""Short ways to claims and leases."""

from datetime import timedelta

from django.db.models.functions import Now

from graders import jobs
from graders.models import Job


def take(queue: str = "build", worker: str = "a") -> jobs.Claim:
    """The claim of a job that is there to be had."""
    held = jobs.claim(queue, worker=worker)
    assert held is not None
    return held


def expire(job: Job) -> None:
    """Let a job's lease run out, as when its worker died a minute ago."""
    Job.objects.filter(pk=job.pk).update(lease_until=Now() - timedelta(seconds=1))


def make_due(job: Job) -> None:
    """Let a job's waiting time be over."""
    Job.objects.filter(pk=job.pk).update(not_before=None)
