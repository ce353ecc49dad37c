"""Finding what lost messages and dead workers left behind."""

from datetime import timedelta

from django.db.models import Q
from django.db.models.functions import Now

from environments.models import Version
from environments.states import Review, Status
from graders import jobs, services
from graders.pipeline import launching

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


def reap() -> None:
    """Remove the sandboxes that dead workers of this host left running."""
    launching.sandboxes().default.reap(ORPHAN_S)
