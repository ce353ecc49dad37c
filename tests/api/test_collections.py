"""One upload, several environments: all of them or none, the same for REST, page and command."""

import json
from collections.abc import Callable

import pytest
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from rest_framework.response import Response

from environments import services as catalogue
from environments.models import Environment, Version
from environments.states import Review
from hub.accounts.models import Quota, User
from hub.audit.models import Event
from hub.errors import Refused
from tests.api.conftest import client_of, packed
from tests.api.test_submit_command import submit
from tests.environments.making import plain_tar
from tests.factories import make_version
from tests.racing import at_once

NAMES = ["zebra", "coins", "knights"]
URL = "/api/v1/environments/ada"

Upload = Callable[..., Response]


def collection(*names: str, number: str = "1.0.0", package: str = "logic", more: str = "") -> bytes:
    tables = "".join(f'[[tool.practicum.environments]]\nname = "{name}"\n' for name in names)
    toml = f"""[project]
name = "{package}"
version = "{number}"
description = "Puzzles"
[tool.practicum]
entry = "logic:make"
{tables}"""
    code = f"def make(): ...\n# {more}\n"
    return plain_tar({"pyproject.toml": toml.encode(), "logic.py": code.encode()})


def stored() -> int:
    folders, _ = default_storage.listdir("archives")
    return sum(len(default_storage.listdir(f"archives/{one}")[1]) for one in folders)


def test_one_upload_adds_a_version_of_each(owner: User, upload: Upload) -> None:
    answer = upload(client_of(owner), collection(*NAMES), at="ada/logic")
    body = answer.json()
    assert answer.status_code == 201
    assert (body["name"], body["version"], body["package"]) == ("zebra", "1.0.0", "logic")
    assert [one["name"] for one in body["versions"]] == NAMES
    assert body["versions"][1] == {
        "name": "coins",
        "version": "1.0.0",
        "url": f"http://testserver{URL}/coins/versions/1.0.0/",
    }
    assert {one.sha256 for one in Version.objects.all()} == {body["sha256"]}
    assert stored() == 1
    events = Event.objects.filter(action="version.uploaded").order_by("id")
    assert [event.target_name for event in events] == [f"ada/{name} 1.0.0" for name in NAMES]


@pytest.mark.parametrize("name", NAMES)
def test_the_address_may_be_that_of_any(owner: User, upload: Upload, name: str) -> None:
    answer = upload(client_of(owner), collection(*NAMES), at=f"ada/{name}")
    assert answer["Location"] == f"http://testserver{URL}/{name}/versions/1.0.0/"
    assert Version.objects.count() == 3


def test_one_that_has_the_packages_name_is_the_one_that_is_answered(
    owner: User, upload: Upload
) -> None:
    answer = upload(client_of(owner), collection("zebra", "logic"), at="ada/logic")
    assert answer.json()["name"] == "logic"


def test_a_name_of_neither_is_refused(owner: User, upload: Upload) -> None:
    answer = upload(client_of(owner), collection(*NAMES), at="ada/dice")
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"] == "project.name"
    assert "of 'logic' with zebra, coins, knights, not of 'dice'" in error["message"]
    assert not Version.objects.exists()


def test_the_same_bytes_again_add_nothing(owner: User, upload: Upload) -> None:
    client, data = client_of(owner), collection(*NAMES)
    first = upload(client, data, at="ada/logic")
    again = upload(client, data, at="ada/knights")
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["versions"] == first.json()["versions"]
    assert Version.objects.count() == 3


@pytest.mark.parametrize(
    ("first", "taken"),
    [
        ((packed("coins"), "coins"), ["ada/coins 1.0.0"]),
        ((collection("zebra", "coins", more="other"), "logic"), ["zebra", "coins"]),
        # No environment of the same name, but the package's number is taken.
        ((collection("chess", more="other"), "logic"), ["ada/chess 1.0.0"]),
    ],
)
def test_other_bytes_under_any_taken_number_change_nothing(
    owner: User, upload: Upload, first: tuple[bytes, str], taken: list[str]
) -> None:
    client = client_of(owner)
    upload(client, first[0], at=f"ada/{first[1]}")
    before = set(Version.objects.values_list("pk", flat=True))
    answer = upload(client, collection(*NAMES), at="ada/logic")
    assert answer.status_code == 409
    said = [error["message"] for error in answer.json()["errors"]]
    assert len(said) == len(taken)
    assert all(any(name in message for message in said) for name in taken)
    assert set(Version.objects.values_list("pk", flat=True)) == before
    assert Environment.objects.count() == len(before)
    assert stored() == 1


def test_a_later_number_may_hold_others(owner: User, upload: Upload) -> None:
    client = client_of(owner)
    upload(client, collection("zebra", "coins"), at="ada/logic")
    answer = upload(client, collection("coins", "chess", number="2.0.0"), at="ada/logic")
    assert answer.status_code == 201
    numbers = {one.name: one.versions.count() for one in Environment.objects.all()}
    assert numbers == {"zebra": 1, "coins": 2, "chess": 1}


def test_what_is_wrong_with_one_keeps_all_out(owner: User, upload: Upload) -> None:
    answer = upload(client_of(owner), collection("zebra", "Coins"), at="ada/logic")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "tool.practicum.environments[1].name"
    assert not Version.objects.exists()


def test_the_bytes_count_once(owner: User, upload: Upload) -> None:
    data = collection(*NAMES)
    Quota.objects.create(user=owner, storage_mb=1, uploads_per_hour=1)
    make_version(owner, size=2**20 - len(data) - 1)
    assert upload(client_of(owner), data, at="ada/logic").status_code == 201
    assert Version.objects.count() == 4


@pytest.mark.django_db(transaction=True)
def test_uploads_at_the_same_moment_are_one(owner: User) -> None:
    data = [collection(*NAMES), collection(*reversed(NAMES), more="other")]
    turns = iter(data * 4)

    def send() -> bool | int:
        try:
            made = catalogue.submit(
                file=_file(next(turns)), filename="e.tar.gz", owner=owner, name=None, actor=owner
            )
        except Refused as refused:
            return refused.status
        return made.is_new

    answers = at_once(8, send)
    assert sorted(map(str, answers)) == ["409"] * 4 + ["False"] * 3 + ["True"]
    assert Version.objects.values("sha256").distinct().count() == 1
    assert Version.objects.count() == 3


def test_the_siblings_of_a_version_are_found_by_their_package(owner: User, upload: Upload) -> None:
    client = client_of(owner)
    upload(client, collection(*NAMES), at="ada/logic")
    upload(client, packed("dice"), at="ada/dice")
    rows = client.get("/api/v1/environments/?owner=ada&package=logic&sort=name").json()["results"]
    assert [row["name"] for row in rows] == sorted(NAMES)
    assert {row["latest"]["package"] for row in rows} == {"logic"}


def test_the_form_leads_to_where_all_of_them_are(owner: User, client: Client) -> None:
    client.force_login(owner)
    data = collection(*NAMES)
    answer = client.post("/upload/", {"archive": _file(data)}, follow=True)
    assert answer.redirect_chain == [("/environments/ada/logic/1.0.0/", 302)]
    html = answer.content.decode()
    assert "3 environments" in html
    assert all(f'href="/ada/{name}/1.0.0/"' in html for name in NAMES)
    again = client.post(
        "/upload/",
        {"archive": _file(data)},
        headers={"X-Requested-With": "XMLHttpRequest"},
    )
    assert again["Location"] == "/environments/ada/logic/1.0.0/"


def test_the_command_submits_all_of_a_folder(owner: User, tmp_path, capsys) -> None:
    path = tmp_path / "logic.tar.gz"
    path.write_bytes(collection(*NAMES))
    assert submit(path, "--owner", "ada") == 0
    assert capsys.readouterr().out.splitlines() == [f"ada/{one} 1.0.0: accepted" for one in NAMES]
    assert submit(path, "--owner", "ada", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["name"], answer["package"], answer["new"]) == ("zebra", "logic", False)
    assert [one["name"] for one in answer["versions"]] == NAMES


@pytest.fixture
def half(owner: User, upload: Upload) -> list[Version]:
    """Three siblings, the first of them public."""
    upload(client_of(owner), collection(*NAMES), at="ada/logic")
    versions = [Version.objects.get(environment__name=name) for name in NAMES]
    catalogue.decide(version=versions[0], review=Review.APPROVED, actor=None)
    return versions


def test_what_is_not_public_is_not_counted_for_the_public(
    owner: User, client: Client, half: list[Version]
) -> None:
    html = client.get("/environments/ada/logic/1.0.0/").content.decode()
    assert "The environment of this package" in html
    assert "knights" not in html
    html = client.get("/ada/zebra/").content.decode()
    assert "Of the package" in html
    assert "knights" not in html
    client.force_login(owner)
    html = client.get("/ada/zebra/").content.decode()
    assert "One of 3 environments of" in html
    assert 'href="/ada/coins/1.0.0/"' in html
    assert 'href="/environments/ada/logic/1.0.0/"' in html


@pytest.mark.parametrize(
    "path", ["ada/logic/2.0.0", "ada/zebra/1.0.0", "bob/logic/1.0.0", "ada/%00/1.0.0"]
)
def test_a_package_that_there_is_not(client: Client, half: list[Version], path: str) -> None:
    assert client.get(f"/environments/{path}/").status_code == 404


def test_an_environment_alone_says_nothing_of_a_package(
    owner: User, client: Client, public
) -> None:
    html = client.get("/ada/coins/").content.decode()
    assert "Of the package" not in html
    assert "environments of" not in html


def _file(data: bytes) -> SimpleUploadedFile:
    return SimpleUploadedFile("logic.tar.gz", data)
