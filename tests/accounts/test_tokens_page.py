"""The page on which people make and revoke tokens."""

from django.test import Client

from hub.accounts.models import ApiToken
from hub.accounts.services import create_token
from tests.factories import make_user

PAGE = "/accounts/tokens/"
FORM = {"name": "laptop", "scopes": ["read", "upload"], "days": "30"}


def test_the_text_is_shown_once(browser):
    browser.force_login(make_user("ada"))
    answer = browser.post(PAGE, FORM)
    text = answer.context["text"]
    assert text in answer.content.decode()
    assert "no-store" in answer["Cache-Control"]
    token = ApiToken.objects.get()
    assert (token.name, token.scopes) == ("laptop", ["read", "upload"])
    assert token.expiry is not None
    assert text not in browser.get(PAGE).content.decode()
    api = Client(headers={"Authorization": f"Token {text}"})
    assert api.get("/api/v1/me/").json()["username"] == "ada"


def test_a_token_for_ever(browser):
    browser.force_login(make_user("ada"))
    browser.post(PAGE, FORM | {"days": ""})
    assert ApiToken.objects.get().expiry is None
    assert "for ever" in browser.get(PAGE).content.decode()


def test_a_token_that_may_do_nothing_is_refused(browser):
    browser.force_login(make_user("ada"))
    answer = browser.post(PAGE, {"name": "laptop", "days": "30"})
    assert "Choose at least one thing" in answer.content.decode()
    assert ApiToken.objects.count() == 0


def test_only_moderators_are_offered_to_moderate(browser):
    browser.force_login(make_user("ada"))
    assert browser.post(PAGE, FORM | {"scopes": ["moderate"]}).context["text"] is None
    assert ApiToken.objects.count() == 0


def test_revoking(browser):
    user = make_user("ada")
    token, _ = create_token(user=user, name="laptop", actor=user)
    other, _ = create_token(user=make_user("bo"), name="his", actor=None)
    browser.force_login(user)
    assert browser.get(f"{PAGE}{token.key}/revoke/").status_code == 405
    assert browser.post(f"{PAGE}{other.key}/revoke/").status_code == 404
    answer = browser.post(f"{PAGE}{token.key}/revoke/", follow=True)
    assert "is revoked" in answer.content.decode()
    assert list(ApiToken.objects.all()) == [other]
