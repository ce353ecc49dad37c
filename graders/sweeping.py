"""Finding what lost messages and dead workers left behind."""

import logging
import socket
from datetime import timedelta

from django.db.models.functions import Now

from environments.models import Version
from environments.states import Review, Status
from graders import hosts, jobs, services
from graders.errors import PlatformFault
from graders.pipeline import launching
from graders.sandbox import Offer
from graders.states import KINDS
from hub.database import let_go
from hub.errors import Refused

logger = logging.getLogger(__name__)

# A version's own message is presumably still on its way, or waits for a busy worker.
PATIENCE = timedelta(seconds=60)
# Versions begun in one turn, and messages that are made to wait in each queue: at least as many as
# workers could become free before the next turn.
MOST_VERSIONS = 100
MOST_MESSAGES = 32
# No job runs longer: what is older than this belongs to nobody.
ORPHAN_S = 4 * 3600.0
RUNNABLE = (Review.PENDING, Review.APPROVED)


def begin(version_id: int) -> None:
    """Start the first evaluation of a version, once. Raises Refused if there is no model for it."""
    version = Version.objects.filter(
        pk=version_id, status=Status.UPLOADED, evaluations__isnull=True, review__in=RUNNABLE
    ).first()
    if version is not None:
        services.start(version=version, actor=None)


def sweep() -> None:
    """Begin versions that nobody began; wake workers for jobs that nobody holds."""
    # First what cannot fail for reasons that lie in a single version.
    for queue in KINDS:
        jobs.top_up(queue, MOST_MESSAGES)
    forgotten = Version.objects.filter(
        status=Status.UPLOADED,
        evaluations__isnull=True,
        review__in=RUNNABLE,
        created__lt=Now() - PATIENCE,
    ).order_by("pk")
    for version_id in forgotten.values_list("pk", flat=True)[:MOST_VERSIONS]:
        try:
            begin(version_id)
        except Refused as refused:
            # It would be the same for the next.
            logger.warning("Version %s waits: %s", version_id, refused)
            return


def arrive() -> None:
    """A worker has started: write down what its host can do."""
    try:
        take_stock()
    except PlatformFault as fault:
        logger.error("%s", fault)
    finally:
        # The processes that work are forked from this one, and must not share its connections.
        let_go()


def reap() -> None:
    """Remove the sandboxes that dead workers of this host left running."""
    take_stock().default.reap(ORPHAN_S)


def take_stock() -> Offer:
    """This host's sandboxes, after writing down what they are and what they cannot do.

    Raises PlatformFault where none works, having written that down.
    """
    hostname = socket.gethostname()
    try:
        found = launching.look_again()
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
