"""Contributing through the form."""

import errno
import io
import zipfile

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.files.uploadhandler import TemporaryFileUploadHandler
from django.test import Client

from environments.archives import LIMITS
from environments.models import Version
from hub.accounts.models import User
from tests.factories import make_user

pytestmark = pytest.mark.django_db

PROJECT = """[project]
name = "sums"
version = "{number}"
description = "Add two numbers"

[tool.practicum]
entry = "sums:make"
"""


def archive(number: str = "1.0.0", project: str = PROJECT, **files: str) -> SimpleUploadedFile:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as zipped:
        zipped.writestr("pyproject.toml", project.format(number=number))
        zipped.writestr("sums.py", "def make():\n    return None\n")
        for name, text in files.items():
            zipped.writestr(f"{name}.py", text)
    return SimpleUploadedFile("sums.zip", out.getvalue(), "application/zip")


@pytest.fixture
def signed_in(client: Client, ada: User) -> Client:
    client.force_login(ada)
    return client


def test_one_has_to_sign_in(client: Client, db) -> None:
    answer = client.post("/upload/", {"archive": archive()})
    assert answer.status_code == 302
    assert answer["Location"].startswith("/accounts/login/")
    assert not Version.objects.exists()


def test_a_good_archive_becomes_a_version_of_mine(signed_in: Client, ada: User) -> None:
    answer = signed_in.post("/upload/", {"archive": archive(), "changelog": "First."})
    version = Version.objects.get()
    assert answer["Location"] == version.get_absolute_url() == "/ada/sums/1.0.0/"
    assert (version.environment.owner, version.changelog) == (ada, "First.")


def test_a_script_is_told_where_to_go(signed_in: Client) -> None:
    answer = signed_in.post(
        "/upload/", {"archive": archive()}, headers={"X-Requested-With": "XMLHttpRequest"}
    )
    assert (answer.status_code, answer["Location"]) == (201, "/ada/sums/1.0.0/")


def test_the_same_bytes_again_are_the_same_version(signed_in: Client) -> None:
    signed_in.post("/upload/", {"archive": archive()})
    answer = signed_in.post("/upload/", {"archive": archive()}, follow=True)
    assert "nothing was added" in answer.content.decode()
    assert Version.objects.count() == 1


def test_other_bytes_under_a_taken_number_are_refused(signed_in: Client) -> None:
    signed_in.post("/upload/", {"archive": archive()})
    answer = signed_in.post("/upload/", {"archive": archive(more="x = 1\n")})
    assert answer.status_code == 409
    assert "Raise the version number" in answer.content.decode()


def test_every_problem_is_listed_and_the_text_is_kept(signed_in: Client) -> None:
    project = '[project]\nname = "Bad Name!"\nversion = "not a version"\n'
    answer = signed_in.post(
        "/upload/", {"archive": archive(project=project), "changelog": "Kept <text>."}
    )
    html = answer.content.decode()
    assert answer.status_code == 422
    for where in ("project.name", "project.version", "tool.practicum.entry"):
        assert f"<code>{where}</code>" in html
    assert "Kept &lt;text&gt;." in html
    assert not Version.objects.exists()


def test_a_file_that_is_no_archive_is_refused(signed_in: Client) -> None:
    answer = signed_in.post("/upload/", {"archive": SimpleUploadedFile("a.zip", b"not a zip")})
    assert answer.status_code == 422
    assert "not accepted" in answer.content.decode()


def test_no_file_and_an_empty_file_say_what_to_do(signed_in: Client) -> None:
    answer = signed_in.post("/upload/", {})
    assert answer.status_code == 422
    assert "Choose an archive" in answer.content.decode()
    answer = signed_in.post("/upload/", {"archive": SimpleUploadedFile("a.zip", b"")})
    assert "This file is empty" in answer.content.decode()


def test_a_body_that_is_too_large_is_refused_unread(signed_in: Client) -> None:
    class Unread(io.BytesIO):
        def read(self, *_: object) -> bytes:
            raise AssertionError("the body was read")

    answer = signed_in.generic(
        "POST",
        "/upload/",
        b"",
        content_type="multipart/form-data; boundary=x",
        CONTENT_LENGTH=str(LIMITS.compressed_bytes * 2),
        **{"wsgi.input": Unread()},
    )
    assert answer.status_code == 413
    assert "100 MiB" in answer.content.decode()


def test_forged_requests_are_refused(ada: User) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(ada)
    answer = browser.post("/upload/", {"archive": archive()})
    assert answer.status_code == 403
    assert "The form is too old" in answer.content.decode()
    assert not Version.objects.exists()


def test_a_banned_person_cannot_upload(client: Client, db) -> None:
    eve = make_user("eve")
    client.force_login(eve)
    User.objects.filter(pk=eve.pk).update(is_active=False)
    assert client.post("/upload/", {"archive": archive()})["Location"].startswith(
        "/accounts/login/"
    )
    assert not Version.objects.exists()


def test_a_disk_that_fills_while_the_body_arrives(
    signed_in: Client, monkeypatch, settings, tmp_path
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no")

    settings.FILE_UPLOAD_TEMP_DIR = tmp_path
    settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 0
    monkeypatch.setattr(TemporaryFileUploadHandler, "receive_data_chunk", fail)
    answer = signed_in.post("/upload/", {"archive": archive()})
    assert answer.status_code == 507
    assert "try later" in answer.text
    assert not list(tmp_path.iterdir())
