"""Finding what lost messages and dead workers left behind."""

import logging
import socket
from datetime import timedelta

from django.db import connection
from django.db.models import Q
from django.db.models.functions import Now

from environments.models import Version
from environments.states import Review, Status
from graders import hosts, jobs, services
from graders.errors import PlatformFault
from graders.pipeline import launching
from graders.sandbox import Offer

logger = logging.getLogger(__name__)

# A message sent this recently is presumably still on its way, or waits for a busy worker.
PATIENCE = timedelta(seconds=60)


# No job runs longer: what is older than this belongs to nobody.
ORPHAN_S = 4 * 3600.0


def begin(version_id: int) -> None:
    """Start the first evaluation of a version, once."""
    version = Version.objects.filter(
        pk=version_id, status=Status.UPLOADED, evaluations__isnull=True
    ).first()
    if version is not None and version.review in (Review.PENDING, Review.APPROVED):
        services.start(version=version, actor=None)


def sweep() -> None:
    """Begin versions that nobody began; wake workers for jobs that nobody holds."""
    forgotten = Version.objects.filter(
        status=Status.UPLOADED, evaluations__isnull=True, created__lt=Now() - PATIENCE
    )
    for version_id in forgotten.values_list("pk", flat=True):
        begin(version_id)
    silent = Q(woken__isnull=True) | Q(woken__lt=Now() - PATIENCE)
    for job in jobs.open_jobs().filter(silent):
        jobs.wake(job)


def arrive() -> None:
    """A worker has started: write down what its host can do."""
    try:
        take_stock()
    except PlatformFault as fault:
        logger.error("%s", fault)
    finally:
        # The processes that work are forked from this one, and must not share its connections.
        connection.close()
        connection.close_pool()  # type: ignore[attr-defined]  # of PostgreSQL's


def reap() -> None:
    """Remove the sandboxes that dead workers of this host left running."""
    take_stock().default.reap(ORPHAN_S)


def take_stock() -> Offer:
    """This host's sandboxes, after writing down what they are and what they cannot do.

    Raises PlatformFault where none works, having written that down.
    """
    hostname = socket.gethostname()
    try:
        found = launching.sandboxes()
    except PlatformFault as fault:
        hosts.record(hostname=hostname, driver="", pythons=[], warnings=[str(fault)])
        raise
    hosts.record(
        hostname=hostname,
        driver=found.driver,
        pythons=list(found.versions.values()),
        warnings=found.default.warnings(),
    )
    return found
