"""Removing what dead workers left on disk: transcripts that are nobody's, half-made bundles."""

from datetime import timedelta

from django.core.files.storage import default_storage
from django.db.models import Q
from django.db.models.functions import Now

from environments import cleaning
from graders import transcripts
from graders.models import Evaluation, Rollout
from graders.pipeline import bundles

# No job and no upload takes as long: what is older and nobody's was left behind.
AGE = timedelta(hours=4)
# How long after its end an evaluation is looked at again and again.
WATCHED = timedelta(days=2)


def clean() -> int:
    """Remove leftovers, those of the catalogue too. Returns how many there were."""
    bundles.store().trim()
    return cleaning.clean(AGE) + _transcripts()


def _transcripts() -> int:
    """Transcripts whose worker died, or lost its job, before it could write their rows."""
    recent = Q(finished__isnull=True) | Q(finished__gt=Now() - WATCHED)
    dropped = 0
    for evaluation in Evaluation.objects.filter(recent).values_list("pk", flat=True):
        old = list(cleaning.old_files(transcripts.folder(evaluation), AGE))
        if not old:
            continue
        rows = Rollout.objects.filter(task__evaluation=evaluation)
        known = set(rows.values_list("transcript_key", flat=True).distinct())
        for key in set(old) - known:
            default_storage.delete(key)
            dropped += 1
    return dropped
