"""What Celery calls. Each takes an id and delegates."""

from celery import shared_task

from graders import cleaning, sweeping, working


@shared_task(name="graders.begin")
def begin(version_id: int) -> None:
    """A version was uploaded: evaluate it."""
    sweeping.begin(version_id)


@shared_task(name="graders.work", bind=True)
def work(self: object, job_id: int) -> None:
    """A job is waiting: claim it and carry it out."""
    working.work(job_id, worker=self.request.hostname or "worker")  # type: ignore[attr-defined]


@shared_task(name="graders.sweep")
def sweep() -> None:
    """Find what lost messages and dead workers left behind."""
    sweeping.sweep()


@shared_task(name="graders.reap")
def reap() -> None:
    """Remove sandboxes that nobody owns."""
    sweeping.reap()


@shared_task(name="graders.clean")
def clean() -> None:
    """Remove files that nobody owns."""
    cleaning.clean()
