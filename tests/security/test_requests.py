"""Requests that no browser of ours sends: what they try does not work, and never is our error."""

import json
import time
from urllib.parse import quote

import pytest
from django.core import signing
from django.test import Client

from hub.accounts.models import ApiToken, User
from hub.accounts.services import create_token
from hub.audit.models import Event
from tests.security.addresses import addresses
from tests.security.scene import make_scene

pytestmark = pytest.mark.django_db

ELSEWHERE = [
    *("https://elsewhere.example/", "//elsewhere.example/", "/\\elsewhere.example/"),
    *("https:elsewhere.example", "javascript:alert(1)", "\thttps://elsewhere.example/"),
    *("https://testserver@elsewhere.example/", "http://testserver.elsewhere.example/"),
]


@pytest.mark.parametrize("target", ELSEWHERE)
def test_nobody_is_sent_elsewhere(ada: User, boss: User, target: str) -> None:
    client = Client()
    form = {"login": "ada", "password": "secret", "next": target}
    assert client.post("/accounts/login/", form)["Location"] == "/"
    assert client.get(f"/accounts/login/?next={quote(target)}")["Location"] == "/"
    assert client.post("/accounts/logout/", {"next": target})["Location"] == "/"
    client.force_login(boss)
    for door in ("/admin/login/", "/accounts/reauthenticate/"):
        answer = client.get(f"{door}?next={quote(target)}")
        assert "elsewhere" not in answer.headers.get("Location", "")
    answer = Client().get(f"/admin/login/?next={quote(target)}")
    assert answer["Location"].startswith("/accounts/login/")


@pytest.mark.parametrize("host", ["elsewhere.example", "testserver@elsewhere.example", "a b"])
def test_links_are_made_for_no_other_host(ada: User, host: str) -> None:
    answer = Client().post("/accounts/password/reset/", {"email": ada.email}, HTTP_HOST=host)
    assert answer.status_code == 400
    assert "elsewhere" not in answer.content.decode()


def test_a_forwarded_host_is_not_believed(ada: User) -> None:
    answer = Client().get("/", headers={"X-Forwarded-Host": "elsewhere.example"})
    assert "elsewhere.example" not in answer.content.decode()


ODD = ["\x00", "a\x00b", "a\r\nX-Evil: 1", "\ud800".encode("utf-8", "surrogatepass"), "é" * 300]
ODD += ["../../etc/passwd", "%2e%2e%2f", "9" * 400, "-1", "1e999", "NaN", "{{7*7}}", "' or 1=1--"]
PARAMETERS = ["q", "p_min", "sort", "page", "cursor", "tag", "owner", "model", "evaluation"]
PARAMETERS += ["task", "passed", "min_reward", "page_size", "format", "_changelist_filters", "o"]


@pytest.mark.parametrize("odd", ODD)
def test_odd_addresses_and_parameters_are_nobodys_crash(odd: str | bytes) -> None:
    scene = make_scene()
    client = Client(raise_request_exception=False)
    client.force_login(scene.people["administrator"])
    query = "&".join(f"{name}={quote(odd)}" for name in PARAMETERS)
    for address in addresses():
        path = scene.path(address)
        if path == "/accounts/logout/":
            continue
        for asked in (f"{path}?{query}", address.pattern.replace("<", "").replace(">", "")):
            answer = client.get(asked)
            assert answer.status_code < 500, asked
            assert "X-Evil" not in answer.headers
    for pattern in ("/{}/", "/ada/{}/", "/ada/coins/{}/", "/api/v1/environments/ada/coins/{}/"):
        assert client.get(pattern.format(quote(odd, safe=""))).status_code < 500


def test_a_cursor_cannot_be_written_by_hand() -> None:
    client = Client()
    make_scene()
    url = "/api/v1/environments/"
    forged = [
        "x",
        signing.dumps([["-by_signal", "pk"], [0, 0], False], key="another key", salt="cursor"),
        signing.dumps([["uploaded_by__password"], ["a"], False], salt="cursor"),
        signing.dumps([["-by_signal", "pk"], [0, 0], False], salt="other"),
    ]
    for cursor in forged:
        answer = client.get(url, {"cursor": cursor})
        assert answer.status_code == 400, cursor
        assert answer.json()["errors"][0]["field"] == "cursor"


def test_nobody_gives_themselves_more(ada: User) -> None:
    client = Client()
    words = "quiet-harbour-42"
    form = {"username": "eve", "email": "eve@example.org", "password1": words, "password2": words}
    more = {"is_superuser": "1", "is_staff": "1", "is_trusted": "1", "groups": "1", "id": ada.pk}
    client.post("/accounts/signup/", form | more)
    eve = User.objects.get(username="eve")
    assert (eve.is_superuser, eve.is_staff, eve.is_trusted) == (False, False, False)
    body = json.dumps({"name": "x", "user": ada.pk, "digest": "0" * 128, "expiry": None, "days": 1})
    client.post("/api/v1/tokens/", body, content_type="application/json")
    token = ApiToken.objects.get()
    assert (token.user, token.expiry is None, token.digest[:4] == "0000") == (eve, False, False)


def test_a_search_takes_no_longer_for_being_odd() -> None:
    make_scene()
    client = Client()
    for text in [
        "(" * 200,
        '"' * 200,
        "a!" * 100,
        "%" * 200,
        "a* " * 60,
        "-" * 200,
        "\\" * 200,
        '-"' * 100,
        "-a" * 100,
    ]:
        begun = time.monotonic()
        assert client.get("/environments/", {"q": text}).status_code == 200
        assert client.get("/api/v1/environments/", {"q": text}).status_code == 200
        assert time.monotonic() - begun < 5


def test_a_token_in_an_address_signs_nobody_in(ada: User) -> None:
    """There it would stand in logs and histories."""
    _, text = create_token(user=ada, name="laptop", actor=ada)
    for name in ("token", "access_token", "Authorization"):
        assert Client().get(f"/api/v1/me/?{name}={text}").status_code == 401
    assert not Event.objects.filter(data__icontains=text)


def test_where_to_report_a_hole(client: Client, settings) -> None:
    assert client.get("/.well-known/security.txt").status_code == 404
    settings.SECURITY_CONTACT = "mailto:security@hub.example.org"
    answer = client.get("/.well-known/security.txt")
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert "Contact: mailto:security@hub.example.org\nExpires: 20" in answer.content.decode()


def test_no_page_is_framed_and_none_says_where_one_came_from(client: Client) -> None:
    for path in ("/", "/accounts/login/", "/api/v1/models/", "/nothing/", "/healthz"):
        headers = client.get(path).headers
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "camera=()" in headers["Permissions-Policy"]
