"""Every address, asked as everybody, does what docs/permissions.md says and nothing else."""

import pytest

from environments.models import Version
from environments.states import Status
from tests.security.permissions import (
    DOCUMENT,
    PEOPLE,
    TOKENS,
    documented,
    mistakes,
    outcome,
    people,
    rows,
    tokens,
)
from tests.security.scene import Scene, make_scene

pytestmark = pytest.mark.django_db


@pytest.fixture
def scene(db) -> Scene:
    return make_scene()


def test_people(scene: Scene) -> None:
    found = list(mistakes(scene, "people", rows(), people(scene)))
    assert not found, "\n\n".join(found)


def test_tokens(scene: Scene) -> None:
    api = [row for row in rows() if row.address.is_api]
    found = list(mistakes(scene, "tokens", api, tokens(scene)))
    assert not found, "\n\n".join(found)


def test_the_tables_have_the_columns_that_are_asked() -> None:
    lines = DOCUMENT.read_text().splitlines()
    for columns in (PEOPLE, TOKENS):
        assert f"| Address | Write | {' | '.join(columns)} |" in lines


def test_nothing_is_written_by_a_session_without_its_form_token(scene: Scene) -> None:
    """Whatever somebody may write, another site may not make their browser write."""
    unchecked, checked = people(scene), people(scene, csrf=True)
    tried = 0
    for row in rows():
        for name in ("owner", "administrator"):
            usual = outcome(scene, row, unchecked[name], row.address.write)
            if usual in ("login", "401", "403", "404", "405"):
                continue
            tried += 1
            answer = outcome(scene, row, checked[name], row.address.write)
            assert answer == "403", (row.key, name, usual, answer)
    assert tried > 50


def test_the_administrations_door_signs_nobody_in(scene: Scene) -> None:
    """Not even for those who are in already: they could guess at others there without limit."""
    client = people(scene)["moderator"]()
    key = client.cookies["sessionid"].value
    form = {"username": "boss", "password": "secret", "next": "/admin/"}
    assert client.post("/admin/login/", form)["Location"] == "/admin/"
    assert client.get("/api/v1/me/").json()["username"] == "mo"
    assert client.cookies["sessionid"].value == key


def test_a_token_that_may_not_read_reads_no_logs(scene: Scene) -> None:
    """What everybody sees of a public version it sees, and no more."""
    url = f"/api/v1/evaluations/{scene.public.pk}/"
    seen = {column: ask().get(url).json()["jobs"] for column, ask in tokens(scene).items()}
    assert {column for column, jobs in seen.items() if jobs is not None} == {
        *("owner: read", "owner: all three", "moderator: all"),
    }
    Version.objects.filter(pk=scene.public.version_id).update(status=Status.FAILED, fault="Why.")
    version = scene.public.version
    url = f"/api/v1/environments/ada/coins/versions/{version.number}/"
    faults = {column: ask().get(url).json()["fault"] for column, ask in tokens(scene).items()}
    assert {column for column, fault in faults.items() if fault} == {
        *("owner: read", "owner: all three", "moderator: all"),
    }


def test_moderators_see_people_without_their_passwords(scene: Scene) -> None:
    url = f"/admin/accounts/user/{scene.ada.pk}/change/"
    for name in ("moderator", "administrator"):
        page = people(scene)[name]().get(url).content.decode()
        assert scene.ada.password.split("$")[2][:8] not in page
        assert "ada@example.org" in page


def test_no_other_method_does_anything(scene: Scene) -> None:
    asked = people(scene)
    for row in rows():
        for method in ("PUT", "PATCH", "DELETE", "TRACE"):
            if method == row.address.write:
                continue
            for name in ("anonymous", "administrator"):
                answer = outcome(scene, row, asked[name], method)
                harmless = {"login", "400", "401", "403", "404", "405", "301", "302", "200"}
                assert answer in harmless, (row.key, method, name, answer)


def test_the_document_has_no_surprises() -> None:
    """What holds of every row, so that a hole is not simply written down."""
    table = documented("people")
    assert len(table) > 140
    for key, (_, *cells) in table.items():
        of = dict(zip(PEOPLE, cells, strict=True))
        # Somebody who is locked out is nobody; a member has no rights of their own yet.
        assert of["banned"] == of["anonymous"], key
        assert of["member"] == of["other"], key
        assert not any(status.strip().startswith("5") for one in cells for status in one.split("/"))
        if key.startswith("`/admin/"):
            for name in ("anonymous", "other", "owner"):
                assert set(of[name].split(" / ")) <= {"login", "302", "403"}, key
        if key.endswith("private"):
            for name in ("anonymous", "other"):
                refused = {"401", "403", "404", "405", "login"}
                assert set(of[name].split(" / ")) <= refused, key
    for key, (_, *cells) in documented("tokens").items():
        of = dict(zip(TOKENS, cells, strict=True))
        if key.endswith("private"):
            for name in ("owner: upload", "owner: evaluate", "moderator: read"):
                assert of[name].split(" / ")[0] in {"404", "405", "403"}, key
