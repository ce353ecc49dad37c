"""Somebody who is locked out is out: at every door, at once, and what they held stays dead."""

import re
import threading
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, transaction
from django.test import Client
from rest_framework.test import APIClient

from environments import services as catalogue
from environments.models import Version
from hub.accounts import services
from hub.accounts.models import ApiToken, User
from hub.errors import Refused
from hub.moderation.services import ban, unban
from tests.api.conftest import client_of, packed
from tests.factories import make_user, make_version

pytestmark = pytest.mark.django_db

NEW = "quiet-harbour-42"
LOGIN, TOKENS = "/accounts/login/", "/accounts/tokens/"


@pytest.fixture
def ada(db) -> User:
    user = make_user("ada", email="ada@example.org", is_staff=True)
    EmailAddress.objects.create(user=user, email=user.email, primary=True, verified=True)
    return user


@pytest.fixture
def with_session(ada: User) -> Client:
    client = Client()
    client.force_login(ada)
    return client


@pytest.fixture
def with_token(ada: User) -> APIClient:
    return client_of(ada)


def signed_in(client: Client) -> bool:
    return client.get(TOKENS).status_code == 200


def reset_link(email: str) -> str:
    Client().post("/accounts/password/reset/", {"email": email})
    return re.search(r"http://testserver(\S+)", mail.outbox[-1].body)[1]


def follow_reset_link(link: str) -> Client:
    """Set a new password by a link, as far as the site lets one."""
    client = Client()
    page = client.get(link, follow=True)
    if page.redirect_chain:
        client.post(page.redirect_chain[-1][0], {"password1": NEW, "password2": NEW})
    return client


def test_every_door_is_shut(
    ada: User, boss: User, with_session: Client, with_token: APIClient
) -> None:
    version = make_version(ada)
    link = reset_link(ada.email)
    assert with_session.get(version.get_absolute_url()).status_code == 200
    assert with_session.get("/admin/").status_code == 200
    assert with_session.get("/api/v1/me/").status_code == 200
    ban(user=ada, actor=boss, reason="Spam.")
    # Pages, the administration and the API with the old session.
    assert not signed_in(with_session)
    assert with_session.get(version.get_absolute_url()).status_code == 404
    assert with_session.get("/admin/").status_code == 302
    assert with_session.get("/api/v1/me/").status_code == 401
    assert with_session.post("/upload/", {}).status_code == 302
    # The API with the old token, even for what everybody may read.
    assert with_token.get("/api/v1/me/").status_code == 401
    assert with_token.get("/api/v1/environments/").status_code == 401
    # Signing in anew, by either name and by either door.
    for login in ("ada", "ada@example.org"):
        client = Client()
        answer = client.post(LOGIN, {"login": login, "password": "secret"})
        assert answer["Location"] == "/accounts/inactive/"
        assert not signed_in(client)
    client = Client()
    client.post("/admin/login/", {"username": "ada", "password": "secret"}, follow=True)
    assert not signed_in(client)
    # A link that was sent before, and one asked for after.
    assert not signed_in(follow_reset_link(link))
    sent = len(mail.outbox)
    Client().post("/accounts/password/reset/", {"email": ada.email})
    assert not [found for found in mail.outbox[sent:] if "/password/reset/key/" in found.body]
    client = Client()
    client.post(LOGIN, {"login": "ada", "password": NEW})
    assert not signed_in(client)


def test_a_new_account_under_the_same_name_cannot_be_made(ada: User, boss: User) -> None:
    ban(user=ada, actor=boss, reason="Spam.")
    form = {"username": "ada", "email": "b@example.org", "password1": NEW, "password2": NEW}
    answer = Client().post("/accounts/signup/", form)
    assert "taken" in answer.content.decode()


def test_what_they_held_stays_dead_after_the_ban(
    ada: User, boss: User, with_session: Client, with_token: APIClient
) -> None:
    ban(user=ada, actor=boss, reason="Spam.")
    unban(user=ada, actor=boss)
    assert not signed_in(with_session)
    assert with_token.get("/api/v1/me/").status_code == 401
    client = Client()
    client.post(LOGIN, {"login": "ada", "password": "secret"})
    assert signed_in(client)


def test_a_session_that_begins_during_a_ban_ends_with_it(ada: User, boss: User) -> None:
    ban(user=ada, actor=boss, reason="Spam.")
    late = Client()
    late.force_login(ada)  # its request had read the row before
    assert not signed_in(late)
    unban(user=ada, actor=boss)
    assert not signed_in(late)


def test_a_ban_during_an_upload_refuses_it(
    ada: User, boss: User, with_token: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = catalogue.check

    def check_and_ban(*args: Any) -> Any:
        found = check(*args)
        ban(user=ada, actor=boss, reason="Spam.")
        return found

    monkeypatch.setattr(catalogue, "check", check_and_ban)
    archive = SimpleUploadedFile("coins.tar.gz", packed())
    url = "/api/v1/environments/ada/coins/versions/"
    answer = with_token.post(url, {"archive": archive}, format="multipart")
    assert answer.status_code == 403
    assert answer.json()["title"] == "ada is locked out"
    assert not Version.objects.exists()


def test_a_token_asked_for_before_a_ban_is_not_made_after_it(ada: User, boss: User) -> None:
    before = User.objects.get(pk=ada.pk)
    ban(user=ada, actor=boss, reason="Spam.")
    assert before.is_active  # as its request saw it
    with pytest.raises(Refused) as refusal:
        services.create_token(user=before, name="late", actor=before)
    assert refusal.value.status == 403
    assert not ApiToken.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_ban_and_a_token_made_at_once_leave_no_token() -> None:
    ada, boss = make_user("ada"), make_user("boss", is_superuser=True)
    made = threading.Event()

    def make() -> None:
        try:
            with transaction.atomic():
                services.create_token(user=ada, name="race", actor=ada)
                made.set()
                released.wait(10)
        finally:
            connection.close()

    released = threading.Event()
    thread = threading.Thread(target=make)
    thread.start()
    assert made.wait(10)
    # The ban has to wait for the token's transaction, and then finds the token.
    threading.Timer(0.3, released.set).start()
    ban(user=User.objects.get(pk=ada.pk), actor=boss, reason="Spam.")
    thread.join(10)
    assert not ApiToken.objects.exists()


def test_a_new_password_ends_the_other_sessions_and_no_token(
    ada: User, with_session: Client, with_token: APIClient
) -> None:
    here = Client()
    here.post(LOGIN, {"login": "ada", "password": "secret"})
    form = {"oldpassword": "secret", "password1": NEW, "password2": NEW}
    assert "revoke those" in here.get("/accounts/password/change/").content.decode()
    here.post("/accounts/password/change/", form)
    assert signed_in(here)
    assert not signed_in(with_session)
    assert with_token.get("/api/v1/me/").status_code == 200


def test_a_reset_password_ends_all_sessions_and_works_once(ada: User, with_session: Client) -> None:
    link = reset_link(ada.email)
    follow_reset_link(link)
    assert not signed_in(with_session)
    assert "This link does not work" in Client().get(link, follow=True).content.decode()


def test_an_administrator_who_sets_a_password_ends_all_sessions(
    ada: User, boss: User, with_session: Client
) -> None:
    browser = Client()
    browser.force_login(boss)
    form = {"password1": NEW, "password2": NEW, "usable_password": "true"}
    browser.post(f"/admin/accounts/user/{ada.pk}/password/", form)
    assert not signed_in(with_session)


def test_signing_in_changes_the_sessions_key_and_signing_out_ends_it(ada: User) -> None:
    client = Client()
    client.get(LOGIN)
    session = client.session
    session["planted"] = "1"
    session.save()
    client.cookies["sessionid"] = session.session_key
    client.post(LOGIN, {"login": "ada", "password": "secret"})
    key = client.session.session_key
    assert key != session.session_key
    client.post("/accounts/logout/")
    stolen = Client()
    stolen.cookies["sessionid"] = key
    assert not signed_in(stolen)
