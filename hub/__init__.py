"""The site: settings, addresses, Celery, and the apps that are about people."""

from hub.celery import app as celery_app

__all__ = ["celery_app"]
