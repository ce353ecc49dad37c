"""Signing up, in and out, and what an owner may be called."""

import re

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.urls import reverse

from hub.accounts.models import User
from hub.audit.models import Event
from tests.factories import make_user

PASSWORD = "quiet-harbour-42"
SIGNUP = {
    "username": "Ada",
    "email": "ada@example.org",
    "password1": PASSWORD,
    "password2": PASSWORD,
}


def signed_in(browser) -> bool:
    return "_auth_user_id" in browser.session


def test_signing_up_signs_in_with_a_lowercase_name(browser):
    answer = browser.post("/accounts/signup/", SIGNUP)
    assert answer.status_code == 302
    user = User.objects.get()
    assert (user.username, user.email, user.is_trusted, user.is_staff) == (
        *("ada", "ada@example.org"),
        *(False, False),
    )
    assert signed_in(browser)
    event = Event.objects.get(action="user.created")
    assert (event.actor_name, event.target_name) == ("ada", "ada")


@pytest.mark.parametrize(
    ("username", "message"),
    [
        ("admin", "This name is reserved"),
        ("API", "This name is reserved"),
        ("ada_b", "lowercase letters, digits and single hyphens"),
        ("-ada", "beginning and ending with a letter or digit"),
        ("a--b", "single hyphens"),
        ("ada@x.org", "lowercase letters"),
        ("a" * 40, "at most 39"),
        ("taken", "taken"),
        ("TAKEN", "taken"),
    ],
)
def test_names_that_cannot_be_had(browser, username, message):
    make_user("taken")
    answer = browser.post("/accounts/signup/", SIGNUP | {"username": username})
    assert answer.status_code == 200
    assert message in " ".join(answer.context["form"].errors["username"])
    assert User.objects.count() == 1


def test_a_weak_password_is_refused(browser):
    weak = {"password1": "password", "password2": "password"}
    answer = browser.post("/accounts/signup/", SIGNUP | weak)
    assert "too common" in answer.content.decode()
    assert User.objects.count() == 0


@pytest.mark.parametrize("login", ["ada", "ADA", "ada@example.org"])
def test_signing_in_and_out(browser, login):
    user = make_user("ada", email="ada@example.org")
    EmailAddress.objects.create(user=user, email=user.email, primary=True, verified=True)
    browser.post("/accounts/login/", {"login": login, "password": "secret"})
    assert signed_in(browser)
    assert browser.get("/accounts/logout/").status_code == 200
    assert signed_in(browser)  # a link alone signs nobody out
    browser.post("/accounts/logout/")
    assert not signed_in(browser)


def test_a_locked_out_person_does_not_get_in(browser):
    make_user("ada", is_active=False)
    browser.post("/accounts/login/", {"login": "ada", "password": "secret"})
    assert not signed_in(browser)


def test_guessing_passwords_is_limited(browser):
    make_user("ada")
    for _ in range(12):
        answer = browser.post("/accounts/login/", {"login": "ada", "password": "wrong"})
    text = answer.content.decode()
    assert answer.status_code == 429 or "Too many failed login attempts" in text
    browser.post("/accounts/login/", {"login": "ada", "password": "secret"})
    assert not signed_in(browser)


def test_the_administration_is_entered_by_the_same_door(browser):
    answer = browser.get("/admin/login/?next=/admin/")
    assert answer.status_code == 302
    assert answer["Location"].startswith("/accounts/login/")


def test_a_password_is_reset_by_email(browser):
    user = make_user("ada", email="ada@example.org")
    EmailAddress.objects.create(user=user, email=user.email, primary=True, verified=True)
    browser.post("/accounts/password/reset/", {"email": user.email}, follow=True)
    link = re.search(r"http://testserver(\S+)", mail.outbox[0].body)[1]
    page = browser.get(link, follow=True)
    assert "Set a new password" in page.content.decode()
    new = {"password1": PASSWORD, "password2": PASSWORD}
    browser.post(page.redirect_chain[-1][0], new)
    browser.post("/accounts/login/", {"login": "ada", "password": PASSWORD})
    assert signed_in(browser)


def test_a_used_reset_link_says_so(browser, db):
    page = browser.get("/accounts/password/reset/key/1-abc-def/")
    assert "This link does not work" in page.content.decode()


def test_an_unknown_address_tells_nothing(browser, db):
    answer = browser.post("/accounts/password/reset/", {"email": "no@example.org"}, follow=True)
    assert "If that address belongs to an account" in answer.content.decode()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("account_login", "No account yet?"),
        ("account_signup", "first part of the addresses"),
        ("account_reset_password", "Send the link"),
        ("account_reset_password_done", "Look into your email"),
        ("account_reset_password_from_key_done", "Your password is set"),
        ("account_email_verification_sent", "Look into your email"),
        ("account_inactive", "This account is locked"),
    ],
)
def test_pages_for_everybody(browser, db, name, words):
    page = browser.get(reverse(name))
    assert page.status_code == 200
    text = page.content.decode()
    assert words in text
    assert 'class="masthead"' in text


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("account_email", "Add an address"),
        ("account_change_password", "Change your password"),
        ("account_logout", "Sign out"),
        ("account_reauthenticate", "Is it you?"),
        ("account-tokens", "You have no tokens yet"),
    ],
)
def test_pages_of_ones_own(browser, name, words):
    url = reverse(name)
    assert browser.get(url).status_code == 302
    browser.force_login(make_user("ada"))
    text = browser.get(url).content.decode()
    assert words in text
    assert 'class="masthead"' in text


def test_an_address_is_added_and_confirmed(browser):
    user = make_user("ada")
    browser.force_login(user)
    browser.post("/accounts/email/", {"action_add": "", "email": "ada@example.org"})
    link = re.search(r"http://testserver(\S+)", mail.outbox[0].body)[1]
    assert "Yes, confirm it" in browser.get(link).content.decode()
    browser.post(link)
    assert EmailAddress.objects.get(user=user).verified
    assert "confirmed" in browser.get("/accounts/email/").content.decode()
