"""`manage.py submit`, as a shell sees it."""

import json
import tarfile
from pathlib import Path

import pytest
from django.core.management import call_command

from environments.models import Version
from graders import services
from tests.api.conftest import packed
from tests.api.test_measures import REPORT, finish
from tests.factories import make_evaluation


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "coins.tar.gz"
    path.write_bytes(packed())
    return path


@pytest.fixture
def folder(tmp_path: Path, archive: Path) -> Path:
    path = tmp_path / "coins"
    with tarfile.open(archive) as tar:
        tar.extractall(path, filter="data")
    return path


def submit(*args: object) -> int:
    """Run the command. Returns its exit status."""
    try:
        call_command("submit", *map(str, args))
    except SystemExit as end:
        return int(end.code)
    return 0


def test_an_archive_is_accepted(owner, archive, capsys):
    assert submit(archive, "--owner", "ada") == 0
    assert capsys.readouterr().out == "ada/coins 1.0.0: accepted\n"
    version = Version.objects.get()
    assert (version.uploaded_by, version.filename) == (owner, "coins.tar.gz")


def test_a_folder_is_packed(owner, folder, capsys):
    assert submit(folder, "--owner", "ada", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["owner"], answer["name"], answer["version"]) == ("ada", "coins", "1.0.0")
    assert (answer["new"], answer["status"], answer["report"]) == (True, "uploaded", None)
    assert submit(folder, "--owner", "ada", "--json") == 0
    assert json.loads(capsys.readouterr().out)["new"] is False


def test_a_refusal_names_every_problem(owner, archive, tmp_path, capsys):
    submit(archive, "--owner", "ada")
    archive.write_bytes(packed(mark="changed"))
    assert submit(archive, "--owner", "ada") == 2
    assert "Raise the version number" in capsys.readouterr().err
    (tmp_path / "bad.zip").write_bytes(b"PK nonsense")
    assert submit(tmp_path / "bad.zip", "--owner", "ada", "--json") == 2
    answer = json.loads(capsys.readouterr().out)
    assert answer["refused"]
    assert answer["problems"][0]["message"]


@pytest.mark.parametrize("path", ["nowhere.zip", "empty"])
def test_what_cannot_be_read_is_refused(owner, tmp_path, path, capsys):
    (tmp_path / "empty").mkdir()
    assert submit(tmp_path / path, "--owner", "ada") == 2
    assert str(tmp_path) in capsys.readouterr().err


def test_an_owner_that_there_is_not(db, archive, capsys):
    assert submit(archive, "--owner", "nobody") == 2
    assert "Nobody is called nobody" in capsys.readouterr().err


def test_waiting_gives_the_report(owner, archive, capsys):
    submit(archive, "--owner", "ada")
    finish(make_evaluation(Version.objects.get()))
    capsys.readouterr()
    assert submit(archive, "--owner", "ada", "--wait", "--json") == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["report"] == REPORT
    assert "done" in said.err


def test_waiting_for_an_evaluation_that_fails(owner, archive, capsys):
    submit(archive, "--owner", "ada")
    services.fail(make_evaluation(Version.objects.get()), fault="coins has no make.")
    assert submit(archive, "--owner", "ada", "--wait") == 1
    assert "coins has no make." in capsys.readouterr().err
