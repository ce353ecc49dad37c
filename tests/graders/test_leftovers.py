"""Transcripts without rows and half-made bundles go once they are old; all else stays."""

import os
import shutil
from pathlib import Path

import pytest
from django.core.files.storage import default_storage

from graders import cleaning, transcripts
from graders.models import Rollout, Task
from tests.factories import make_evaluation

pytestmark = pytest.mark.django_db


def age(path: Path) -> None:
    os.utime(path, (0, 0))


def test_transcripts_without_rows_go() -> None:
    evaluation = make_evaluation()
    kept, nobodys, fresh = (
        transcripts.write(evaluation.pk, [[{"role": "user", "content": word}]])[0]
        for word in ("kept", "nobody's", "fresh")
    )
    for place in (kept, nobodys):
        age(Path(default_storage.path(place.key)))
    task = Task.objects.create(
        evaluation=evaluation, index=0, position=0, prompt="?", embedding=[0.0] * 384
    )
    Rollout.objects.create(
        task=task,
        number=0,
        seed=1,
        reward=1.0,
        passed=True,
        turns=1,
        seconds=1,
        transcript_key=kept.key,
        transcript_offset=kept.offset,
        transcript_length=kept.length,
    )
    assert cleaning.clean() == 1
    assert default_storage.exists(kept.key)
    assert default_storage.exists(fresh.key)
    assert not default_storage.exists(nobodys.key)


def test_half_made_parts_of_the_store_go(settings) -> None:
    folder = settings.PATHS.work / "store/wheels"
    for name in ("whole", ".new-dead", ".new-alive"):
        (folder / name / "made").mkdir(parents=True)
    for name in ("whole", ".new-dead"):
        age(folder / name)
    cleaning.clean()
    assert {path.name for path in folder.iterdir()} >= {".new-alive", "whole"}
    assert not (folder / ".new-dead").exists()
    for name in ("whole", ".new-alive"):
        shutil.rmtree(folder / name)
