"""What crashes leave behind goes; what is somebody's, or on its way, stays."""

import io
import os
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection, transaction

from environments import services
from environments.cleaning import clean
from environments.models import Version
from environments.storage import INCOMING
from tests.factories import make_version

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
NOBODYS = "ab" * 32


def stored(name: str, hours: float = 2) -> Path:
    """A stored file that was last changed some hours ago."""
    path = Path(default_storage.path(default_storage.save(name, ContentFile(b"x"))))
    then = time.time() - hours * 3600
    os.utime(path, (then, then))
    return path


def test_bytes_of_a_version_stay_and_nobodys_go() -> None:
    kept = stored(make_version().storage_key)
    dropped = stored(Version(sha256=NOBODYS).storage_key)
    assert clean(HOUR) == 1
    assert kept.exists()
    assert not dropped.exists()


def test_what_is_fresh_stays() -> None:
    fresh = [stored(Version(sha256=NOBODYS).storage_key, 0), stored(f"{INCOMING}/half", 0)]
    assert clean(HOUR) == 0
    assert all(path.exists() for path in fresh)


def test_half_a_file_and_half_an_upload_go(settings, tmp_path) -> None:
    settings.FILE_UPLOAD_TEMP_DIR = tmp_path
    upload, other = tmp_path / "tmpx.upload.gz", tmp_path / "celerybeat-schedule"
    half = stored(f"{INCOMING}/half")
    for path in (upload, other):
        path.touch()
        os.utime(path, (0, 0))
    assert clean(HOUR) == 2
    assert not upload.exists()
    assert not half.exists()
    assert other.exists()


@pytest.mark.django_db(transaction=True)
def test_bytes_that_become_a_versions_meanwhile_stay() -> None:
    """The cleaner waits for an upload of the same bytes, and then leaves them alone."""
    path = stored(Version(sha256=NOBODYS).storage_key)
    answers: list[bool] = []

    def drop() -> None:
        answers.append(services.drop_bytes(sha256=NOBODYS))
        connection.close()

    cleaner = threading.Thread(target=drop)
    with transaction.atomic():
        services._store(NOBODYS, io.BytesIO(b"x"))
        cleaner.start()
        cleaner.join(0.5)
        assert cleaner.is_alive(), "it did not wait"
        make_version(sha256=NOBODYS)
    cleaner.join()
    assert answers == [False]
    assert path.exists()
