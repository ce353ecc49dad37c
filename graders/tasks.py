"""What Celery calls. Each takes an id and delegates."""

import os

from celery import Task, shared_task
from celery.signals import worker_ready, worker_shutting_down

from graders import cleaning, draining, sweeping, working
from graders.states import KINDS


@worker_shutting_down.connect
def drain(**_: object) -> None:
    """The worker was told to stop; its processes see it."""
    draining.begin()


@shared_task(name="graders.begin")
def begin(version_id: int) -> None:
    """A version was uploaded: evaluate it."""
    sweeping.begin(version_id)


@shared_task(name="graders.work", bind=True)
def work(self: Task, queue: str) -> None:
    """There is work in a queue: take the job whose turn it is, and carry it out."""
    served = [name for name in self.app.amqp.queues.consume_from if name in KINDS]
    host = self.request.hostname or "worker"
    working.work(queue, *served, worker=f"{host}:{os.getpid()}")


@shared_task(name="graders.sweep")
def sweep() -> None:
    """Find what lost messages and dead workers left behind."""
    sweeping.sweep()


@worker_ready.connect
def arrive(**_: object) -> None:
    """A worker has started."""
    sweeping.arrive()


@shared_task(name="graders.reap")
def reap() -> None:
    """Remove sandboxes that nobody owns."""
    sweeping.reap()


@shared_task(name="graders.clean")
def clean() -> None:
    """Remove files that nobody owns."""
    cleaning.clean()
