"""Removing what crashes left behind: half an upload, half a file, bytes that are nobody's."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.core.files.storage import default_storage
from django.utils import timezone

from environments import services
from environments.models import Version
from environments.storage import INCOMING

ARCHIVES = "archives"
# Django's name for an upload on its way.
UPLOADS = "*.upload*"


def clean(age: timedelta) -> int:
    """Remove leftovers that are at least so old. Returns how many there were."""
    return sum(_drop(age)) + _drop_uploads(age)


def old_files(folder: str, age: timedelta) -> Iterator[str]:
    """Names of the stored files in a folder that were not changed for `age`."""
    if not default_storage.exists(folder):
        return
    for file in default_storage.listdir(folder)[1]:
        name = f"{folder}/{file}"
        try:
            changed = default_storage.get_modified_time(name)
        except FileNotFoundError:  # it is gone: it was on its way
            continue
        if changed < timezone.now() - age:
            yield name


def _drop(age: timedelta) -> Iterator[bool]:
    for name in old_files(INCOMING, age):
        default_storage.delete(name)
        yield True
    for folder in _folders(ARCHIVES):
        known = set(
            Version.objects.filter(sha256__startswith=folder).values_list("sha256", flat=True)
        )
        for name in old_files(f"{ARCHIVES}/{folder}", age):
            digest = name.rpartition("/")[2]
            if digest not in known:
                yield services.drop_bytes(sha256=digest)


def _folders(name: str) -> list[str]:
    return default_storage.listdir(name)[0] if default_storage.exists(name) else []


def _drop_uploads(age: timedelta) -> int:
    """Uploads whose process died while they arrived."""
    dropped = 0
    for path in Path(settings.FILE_UPLOAD_TEMP_DIR).glob(UPLOADS):
        if path.stat().st_mtime < (timezone.now() - age).timestamp():
            path.unlink(missing_ok=True)
            dropped += 1
    return dropped
