"""Uploading: what is taken, what is refused, and with which words."""

import errno
import io
import tarfile
from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from django.core.files.uploadhandler import MemoryFileUploadHandler, TemporaryFileUploadHandler
from rest_framework.test import APIClient

from environments.archives import LIMITS
from environments.models import Version
from environments.storage import DurableFileSystemStorage
from hub.accounts.models import Scope
from hub.audit.models import Event
from tests.api.conftest import client_of, packed
from tests.environments.making import plain_tar
from tests.factories import make_user

VERSIONS = "/api/v1/environments/ada/coins/versions/"


def fails_with(number: int):
    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(number, "no")

    return fail


def test_a_new_version_is_created(owner, upload):
    answer = upload(client_of(owner), packed())
    assert answer.status_code == 201
    assert answer["Location"] == f"http://testserver{VERSIONS}1.0.0/"
    body = answer.json()
    assert (body["owner"], body["name"], body["version"]) == ("ada", "coins", "1.0.0")
    assert (body["status"], body["review"], body["changelog"]) == ("uploaded", "pending", "First.")
    version = Version.objects.get()
    assert default_storage.open(version.storage_key).read() == packed()
    assert version.uploaded_by == owner
    event = Event.objects.get(action="version.uploaded")
    assert (event.actor_name, event.target_name) == ("ada", "ada/coins 1.0.0")


def test_the_format_is_known_at_once(owner, upload):
    data = plain_tar(
        {
            "pyproject.toml": b'[project]\nname = "coins"\nversion = "1"\n'
            b'dependencies = ["verifiers"]\n',
            "coins.py": b"def load_environment(): ...\n",
        }
    )
    client = client_of(owner)
    body = upload(client, data).json()
    assert (body["format"], body["entry"]) == ("verifiers-v0", "coins:load_environment")
    client.force_login(owner)
    assert "<dd>verifiers-v0</dd>" in client.get("/ada/coins/").content.decode()


def test_the_same_bytes_again_change_nothing(owner, upload):
    client = client_of(owner)
    first, again = upload(client, packed()), upload(client, packed())
    assert (first.status_code, again.status_code) == (201, 200)
    assert again["Location"] == first["Location"]
    assert Version.objects.count() == 1


def test_other_bytes_under_a_taken_number_conflict(owner, upload):
    client = client_of(owner)
    kept = upload(client, packed()).json()["sha256"]
    answer = upload(client, packed(mark="changed"))
    assert answer.status_code == 409
    assert answer["Content-Type"] == "application/problem+json"
    assert "Raise the version number" in answer.json()["detail"]
    assert Version.objects.get().sha256 == kept


def test_every_fault_of_a_bad_archive_is_named(owner, upload):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name in ("../escape.py", "con"):
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    answer = upload(client_of(owner), out.getvalue())
    assert answer.status_code == 422
    errors = answer.json()["errors"]
    assert {"../escape.py", "link"} <= {error["field"] for error in errors}
    assert all(error["message"] and error["code"] for error in errors)
    assert Version.objects.count() == 0


def test_every_fault_of_the_metadata_is_named(owner, upload):
    answer = upload(client_of(owner), packed(version="not a version"))
    assert answer.status_code == 422
    assert "project.version" in {error["field"] for error in answer.json()["errors"]}


def test_the_name_has_to_be_that_of_the_address(owner, upload):
    answer = upload(client_of(owner), packed(name="dice"))
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "project.name"


def test_an_upload_needs_a_file(owner):
    answer = client_of(owner).post(VERSIONS, {"changelog": "x"}, format="multipart")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "archive"


def test_an_upload_is_a_form(owner):
    answer = client_of(owner).post(VERSIONS, {"archive": "x"}, format="json")
    assert answer.status_code == 415


def test_nobody_uploads_for_somebody_else(clients, upload):
    statuses = {who: upload(client, packed()).status_code for who, client in clients.items()}
    assert statuses == {"anonymous": 401, "other": 403, "owner": 201, "moderator": 403}


def test_an_administrator_uploads_for_anybody(owner, upload):
    boss = make_user("boss", is_superuser=True)
    assert upload(client_of(boss), packed()).status_code == 201
    assert Version.objects.get().uploaded_by == boss


def test_without_credentials_it_says_how_to_give_them(anonymous, upload):
    answer = upload(anonymous, packed())
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == "Token"
    assert answer["Content-Type"] == "application/problem+json"


def test_a_token_without_the_scope_is_refused(owner, upload):
    answer = upload(client_of(owner, Scope.READ, Scope.EVALUATE), packed())
    assert answer.status_code == 403
    assert "'upload'" in answer.json()["detail"]


def test_an_owner_that_there_is_not(owner, upload):
    assert upload(client_of(owner), packed(), at="nobody/coins").status_code == 404


def test_a_large_body_is_refused_before_it_is_read(owner):
    class Unreadable(io.BytesIO):
        def read(self, *args: int) -> bytes:
            raise AssertionError("The body was read.")

    length = LIMITS.compressed_bytes + 2 * 2**20
    answer = client_of(owner).generic(
        "POST",
        VERSIONS,
        content_type="multipart/form-data; boundary=x",
        CONTENT_LENGTH=str(length),
        **{"wsgi.input": Unreadable()},
    )
    assert answer.status_code == 413
    assert "101 MiB" in answer.json()["detail"]


def test_a_large_body_in_a_session_is_refused_before_its_form_is_searched_for_a_token(owner):
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(owner)
    answer = client.generic("POST", VERSIONS, CONTENT_LENGTH=str(2**40))
    assert answer.status_code == 413


def test_a_session_needs_its_csrf_token(owner, upload):
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(owner)
    assert upload(client, packed()).status_code == 403


def test_a_long_field_that_is_no_file_is_refused(owner):
    body = {"archive": io.BytesIO(packed()), "changelog": "x" * (3 * 2**20)}
    assert client_of(owner).post(VERSIONS, body, format="multipart").status_code == 413


def test_a_full_disk_keeps_nothing(owner, upload, monkeypatch):
    monkeypatch.setattr(DurableFileSystemStorage, "_save", fails_with(errno.ENOSPC))
    answer = upload(client_of(owner), packed())
    assert answer.status_code == 507
    assert "try later" in answer.json()["detail"]
    assert Version.objects.count() == 0


def test_a_disk_that_fills_while_the_body_arrives(owner, upload, monkeypatch):
    monkeypatch.setattr(MemoryFileUploadHandler, "receive_data_chunk", fails_with(errno.ENOSPC))
    assert upload(client_of(owner), packed()).status_code == 507


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_a_version_does_not_change(owner, upload, method):
    client = client_of(owner)
    upload(client, packed())
    answer = getattr(client, method)(f"{VERSIONS}1.0.0/")
    assert answer.status_code == 405
    assert answer.json()["title"] == "Method Not Allowed"
    assert "GET" in answer["Allow"]


def test_of_a_body_that_did_not_fit_nothing_stays(owner, upload, monkeypatch, settings, tmp_path):
    settings.FILE_UPLOAD_TEMP_DIR = tmp_path
    settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 0
    monkeypatch.setattr(TemporaryFileUploadHandler, "receive_data_chunk", fails_with(errno.ENOSPC))
    assert upload(client_of(owner), packed()).status_code == 507
    assert not list(tmp_path.iterdir())


def test_bytes_that_are_refused_are_not_stored(owner, upload):
    client = client_of(owner)
    upload(client, packed())
    assert upload(client, packed(mark="changed")).status_code == 409
    assert len(list(Path(default_storage.path("archives")).glob("*/*"))) == 1
