"""Guessing is limited at every door, and the doors stay usable while Valkey is away."""

import io
import logging

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.core.cache import caches
from django.test import Client
from rest_framework.test import APIClient

from hub.accounts.models import User
from hub.accounts.tokens import FailureThrottle
from hub.cache import LimitsCache
from tests.api.conftest import client_of
from tests.factories import make_user

pytestmark = pytest.mark.django_db

LOGIN, RESET, SIGNUP = "/accounts/login/", "/accounts/password/reset/", "/accounts/signup/"
ME = "/api/v1/me/"


def guess(client: Client, login: str = "ada", password: str = "wrong", **extra: str):
    return client.post(LOGIN, {"login": login, "password": password}, **extra)


def signed_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


def assert_too_many(answer) -> None:
    assert answer.status_code == 429
    assert answer["Retry-After"] == "300"
    text = answer.content.decode()
    assert "Too many attempts" in text
    assert 'class="masthead"' in text


def test_ten_guesses_from_one_address(client: Client, ada: User) -> None:
    for number in range(10):
        assert guess(client, f"user{number}").status_code == 200
    assert_too_many(guess(client, "ada", "secret"))
    assert not signed_in(client)
    assert guess(client, "ada", "secret", REMOTE_ADDR="192.0.2.7").status_code == 302


def test_ten_guesses_at_one_account_from_many_addresses(client: Client, ada: User) -> None:
    for number in range(10):
        assert guess(client, REMOTE_ADDR=f"192.0.2.{number}").status_code == 200
    assert_too_many(guess(client, "ADA", "secret", REMOTE_ADDR="192.0.2.99"))
    make_user("bob")
    assert guess(client, "bob", "secret", REMOTE_ADDR="192.0.2.99").status_code == 302


def test_an_address_cannot_be_made_up(client: Client, ada: User) -> None:
    for number in range(10):
        guess(client, f"user{number}", HTTP_X_FORWARDED_FOR=f"192.0.2.{number}")
    assert_too_many(guess(client, HTTP_X_FORWARDED_FOR="192.0.2.99"))


def test_behind_a_proxy_the_address_is_the_one_it_saw(client: Client, ada: User, settings) -> None:
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1
    for number in range(10):
        # The client wrote the first; the proxy added the last.
        guess(client, f"user{number}", HTTP_X_FORWARDED_FOR=f"203.0.113.{number}, 192.0.2.1")
    assert_too_many(guess(client, HTTP_X_FORWARDED_FOR="203.0.113.99, 192.0.2.1"))
    answer = guess(client, "ada", "secret", HTTP_X_FORWARDED_FOR="203.0.113.1, 192.0.2.2")
    assert answer.status_code == 302


def test_signing_in_rightly_uses_nothing_up(client: Client, ada: User) -> None:
    for _ in range(15):
        assert guess(client, "ada", "secret").status_code == 302
        client.logout()


def test_the_administration_has_no_door_of_its_own(client: Client, boss: User) -> None:
    form = {"username": "boss", "password": "secret"}
    answer = client.post("/admin/login/", form)
    assert answer["Location"].startswith(LOGIN)
    assert not signed_in(client)
    for _ in range(10):
        guess(client, "boss")
    assert_too_many(guess(client, "boss", "secret"))


def test_new_passwords_are_asked_for_five_times_an_hour(client: Client, ada: User) -> None:
    for number in range(5):
        answer = client.post(RESET, {"email": "ada@example.org"}, REMOTE_ADDR=f"192.0.2.{number}")
        assert answer.status_code == 302
    answer = client.post(RESET, {"email": "ADA@example.org"}, REMOTE_ADDR="192.0.2.99")
    assert_too_many(answer)
    assert len(mail.outbox) == 5


def test_one_address_asks_for_ten_new_passwords(client: Client, db) -> None:
    for number in range(10):
        client.post(RESET, {"email": f"user{number}@example.org"})
    assert_too_many(client.post(RESET, {"email": "ada@example.org"}))


def test_one_address_signs_up_twenty_times_an_hour(client: Client, db) -> None:
    for number in range(20):
        assert Client().post(SIGNUP, {"username": f"u{number}"}).status_code == 200
    assert_too_many(client.post(SIGNUP, {"username": "ada"}))


def test_old_passwords_are_not_guessed_with_a_stolen_session(client: Client, boss: User) -> None:
    client.force_login(boss)
    form = {"oldpassword": "wrong", "password1": "quiet-harbour-42", "password2": "x"}
    for _ in range(10):
        client.post("/accounts/password/change/", form)
    assert_too_many(client.post("/accounts/password/change/", form))
    assert client.get("/admin/password_change/")["Location"].startswith("/accounts/")
    for _ in range(10):
        client.post("/accounts/reauthenticate/", {"password": "wrong"})
    assert_too_many(client.post("/accounts/reauthenticate/", {"password": "secret"}))


def test_emails_are_changed_ten_times(client: Client, ada: User) -> None:
    client.force_login(ada)
    for number in range(10):
        client.post("/accounts/email/", {"action_add": "", "email": f"a{number}@example.org"})
    answer = client.post("/accounts/email/", {"action_add": "", "email": "last@example.org"})
    assert_too_many(answer)
    assert not EmailAddress.objects.filter(email="last@example.org").exists()


def test_tokens_that_are_none_are_limited_and_good_ones_are_not(ada: User) -> None:
    wrong, right = APIClient(), client_of(ada)
    wrong.credentials(HTTP_AUTHORIZATION="Token practicum_" + "0" * 64)
    limit, _ = FailureThrottle().parse_rate(FailureThrottle.rate)
    assert {wrong.get(ME).status_code for _ in range(limit)} == {401}
    answer = wrong.get(ME)
    assert answer.status_code == 429
    assert 0 < int(answer["Retry-After"]) <= 60
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["title"] == "Too Many Requests"
    assert right.get(ME).status_code == 200


def test_answers_of_the_api_say_when_to_come_back(ada: User) -> None:
    client = client_of(ada, "upload")
    url = "/api/v1/environments/ada/sums/versions/"
    for _ in range(120):
        client.post(url, {"archive": io.BytesIO(b"x")}, format="multipart")
    answer = client.post(url, {"archive": io.BytesIO(b"x")}, format="multipart")
    assert answer.status_code == 429
    assert int(answer["Retry-After"]) > 0
    assert answer.json()["status"] == 429


@pytest.fixture
def without_valkey(settings, tmp_path, monkeypatch) -> None:
    """The cache of production, at an address where nothing answers."""
    monkeypatch.setattr(LimitsCache, "_away_until", 0.0)
    settings.CACHES = {
        "default": {
            "BACKEND": "hub.cache.LimitsCache",
            "LOCATION": f"unix://:hunter2@{tmp_path}/nothing.sock?db=1",
            "OPTIONS": {"serializer": "hub.cache.JsonSerializer", "socket_connect_timeout": 1},
        }
    }


def test_signing_in_works_and_is_limited_without_valkey(
    client: Client, ada: User, without_valkey: None, caplog
) -> None:
    with caplog.at_level(logging.ERROR, logger="hub.cache"):
        assert guess(client, "ada", "secret").status_code == 302
    client.logout()
    assert "Rate limits count in this process" in caplog.text
    assert "hunter2" not in caplog.text
    for _ in range(10):
        assert guess(client).status_code == 200
    assert_too_many(guess(client, "ada", "secret"))
    assert client.post(RESET, {"email": "ada@example.org"}).status_code == 302
    assert APIClient().get(ME, HTTP_AUTHORIZATION="Token x").status_code == 401


def test_a_valkey_that_is_away_is_not_asked_again_and_again(without_valkey: None, caplog) -> None:
    cache = caches["default"]
    for number in range(5):
        cache.set("a", number)
    assert cache.get("a") == 4
    assert caplog.text.count("Rate limits count in this process") == 1


def test_with_valkey_they_count_in_valkey(settings, monkeypatch) -> None:
    from hub.settings import CACHES

    monkeypatch.setattr(LimitsCache, "_away_until", 0.0)
    settings.CACHES = CACHES
    cache, other = caches["default"], LimitsCache(CACHES["default"]["LOCATION"], CACHES["default"])
    cache.set("history", [1.5, 2.5], 30)
    assert other.get("history") == [1.5, 2.5]
    assert (cache.add("lock", True, 30), cache.add("lock", True, 30)) == (True, False)
    assert cache.delete("lock")
    raw = cache._cache.get_client().get(cache.make_key("history"))
    assert raw == b"[1.5, 2.5]"  # no pickle
    cache.clear()
    assert LimitsCache._away_until == 0.0


def test_nothing_says_whether_an_account_exists(client: Client, ada: User) -> None:
    EmailAddress.objects.create(user=ada, email="ada@example.org", primary=True, verified=True)
    known = guess(client, "ada@example.org").context["form"].errors
    unknown = guess(client, "eve@example.org").context["form"].errors
    assert known == unknown
    for email in ("ada@example.org", "eve@example.org"):
        answer = client.post(RESET, {"email": email})
        assert (answer.status_code, answer["Location"]) == (302, f"{RESET}done/")
    words = "quiet-harbour-42"
    forms = [
        {"username": name, "email": email, "password1": words, "password2": words}
        for name, email in [("newa", "ada@example.org"), ("newb", "eve@example.org")]
    ]
    answers = [Client().post(SIGNUP, form) for form in forms]
    assert {(answer.status_code, answer["Location"]) for answer in answers} == {(302, "/")}
