"""The account that asks, and its tokens."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from hub.accounts.models import ApiToken, Scope
from hub.audit.models import Event
from hub.moderation import services as moderation
from tests.api.conftest import client_of
from tests.factories import make_user

ME, TOKENS = "/api/v1/me/", "/api/v1/tokens/"


def with_token(text: str, scheme: str = "Token") -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"{scheme} {text}")
    return client


def test_who_asks(clients):
    body = clients["owner"].get(ME).json()
    assert (body["username"], body["is_moderator"]) == ("ada", False)
    assert set(body["scopes"]) == set(Scope)
    assert clients["moderator"].get(ME).json()["is_moderator"] is True
    assert clients["anonymous"].get(ME).status_code == 401


def test_a_tokens_text_is_shown_once_and_kept_as_a_digest(owner):
    answer = client_of(owner).post(TOKENS, {"name": "laptop", "scopes": ["read"], "days": 30})
    assert answer.status_code == 201
    assert answer["Cache-Control"] == "no-store"
    made = answer.json()
    text = made["token"]
    assert text.startswith(made["prefix"])
    assert with_token(text).get(ME).json()["scopes"] == ["read"]
    row = ApiToken.objects.get(name="laptop")
    assert text not in str(vars(row))
    assert row.expiry - timezone.now() <= timedelta(days=30)
    assert text not in client_of(owner).get(TOKENS).content.decode()
    event = Event.objects.get(action="token.issued", data__token__startswith="laptop")
    assert text not in str(event.data)


def test_bearer_is_taken_too(owner):
    text = client_of(owner).post(TOKENS, {"name": "laptop"}).json()["token"]
    assert with_token(text, "Bearer").get(ME).status_code == 200


def test_a_token_lists_only_its_owners(clients, owner):
    mine = clients["owner"].get(TOKENS).json()["results"]
    assert [token["name"] for token in mine] == ["test"]


def test_a_token_makes_none_that_may_do_more(owner):
    client = client_of(owner, Scope.READ, Scope.UPLOAD)
    answer = client.post(TOKENS, {"name": "more", "scopes": ["read", "evaluate"]})
    assert answer.status_code == 403
    assert "evaluate" in answer.json()["detail"]
    assert not ApiToken.objects.filter(name="more").exists()
    same = client.post(TOKENS, {"name": "usual"}).json()
    assert same["scopes"] == ["read", "upload"]


def test_a_token_makes_none_that_lasts_longer(owner):
    client = client_of(owner)
    ends = timezone.now() + timedelta(days=2)
    ApiToken.objects.update(expiry=ends)
    made = client.post(TOKENS, {"name": "long", "days": None}).json()
    assert abs(ApiToken.objects.get(name="long").expiry - ends) < timedelta(seconds=5)
    assert made["expiry"] is not None


def test_a_token_is_revoked_at_once(owner):
    client = client_of(owner)
    made = client.post(TOKENS, {"name": "gone"}).json()
    assert client.delete(f"{TOKENS}{made['key']}/").status_code == 204
    assert with_token(made["token"]).get(ME).status_code == 401
    assert Event.objects.filter(action="token.revoked", actor_name="ada").exists()


def test_nobody_revokes_the_tokens_of_others(clients, owner):
    key = clients["owner"].get(TOKENS).json()["results"][0]["key"]
    assert clients["other"].delete(f"{TOKENS}{key}/").status_code == 404
    assert clients["moderator"].delete(f"{TOKENS}{key}/").status_code == 404
    assert clients["anonymous"].delete(f"{TOKENS}{key}/").status_code == 401
    assert clients["owner"].get(ME).status_code == 200


def test_a_token_revokes_none_that_may_do_more(owner):
    client_of(owner)
    key = ApiToken.objects.get().key
    assert client_of(owner, Scope.READ).delete(f"{TOKENS}{key}/").status_code == 403


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({}, "name"),
        ({"name": "x" * 65}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"name": "a\ud800"}, "name"),
        ({"name": "a", "scopes": ["root"]}, "scopes.0"),
        ({"name": "a", "scopes": ["\ud800"]}, "scopes.0"),
        ({"name": "a", "scopes": []}, "scopes"),
        ({"name": "a", "days": 0}, "days"),
        ({"name": "a", "days": 10**9}, "days"),
    ],
)
def test_what_cannot_be_a_token(owner, asked, field):
    body = json.dumps(asked)
    answer = client_of(owner).post(TOKENS, body, content_type="application/json")
    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["errors"][0]["field"].startswith(field.split(".")[0])


@pytest.mark.parametrize(
    "header",
    ["Token", "Token ", "Token nonsense", "Token practicum_x y", "Bearer \xe9", "Token a\tb"],
)
def test_a_bad_token_is_refused(anonymous, header):
    answer = anonymous.get(ME, HTTP_AUTHORIZATION=header)
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == "Token"
    assert answer.json()["status"] == 401


def test_an_expired_token_is_refused(owner):
    client = client_of(owner)
    ApiToken.objects.update(expiry=timezone.now() - timedelta(seconds=1))
    assert client.get(ME).status_code == 401


def test_a_banned_persons_token_is_refused(clients, owner):
    moderation.ban(user=owner, actor=make_user("boss", is_superuser=True), reason="Spam.")
    assert clients["owner"].get(ME).status_code == 401
    assert clients["owner"].get("/api/v1/environments/").status_code == 401


def test_a_large_body_is_refused(owner):
    answer = client_of(owner).post(TOKENS, {"name": "x" * (2 * 2**20)})
    assert answer.status_code == 413


def test_a_body_that_is_not_json(owner):
    answer = client_of(owner).generic("POST", TOKENS, b"{", content_type="application/json")
    assert answer.status_code == 400
    assert answer.json()["title"] == "Bad Request"
