"""The Celery application: workers, their queues and their clock."""

import os

from celery import Celery
from kombu.exceptions import OperationalError

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hub.settings")

app = Celery("practicum")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


def worker_answers(*names: str) -> bool:
    """Whether a worker (one of these, if there are names) answers; not while the broker is away."""
    try:
        return bool(app.control.ping(list(names) or None, timeout=0.5, limit=1))
    except (OSError, OperationalError, *app.connection_for_read().connection_errors):
        return False
