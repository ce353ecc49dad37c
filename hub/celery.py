"""The Celery application: workers, their queues and their clock."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hub.settings")

app = Celery("practicum")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
