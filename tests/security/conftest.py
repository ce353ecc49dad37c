"""A browser, people of every standing, and something measured to look at."""

import pytest
from playwright.sync_api import Page

from graders.models import Evaluation
from hub.accounts.models import User
from tests.chromium import browser, complaints, context, page, sign_in
from tests.factories import make_moderator, make_user
from tests.graders.conftest import server
from tests.web.conftest import measure, publish

__all__ = ["browser", "complaints", "context", "page", "server", "sign_in"]


@pytest.fixture
def ada(db) -> User:
    return make_user("ada", email="ada@example.org")


@pytest.fixture
def boss(db) -> User:
    return make_user("boss", is_staff=True, is_superuser=True)


@pytest.fixture
def moderator(db) -> User:
    return make_moderator(is_staff=True)


@pytest.fixture
def measured(ada: User) -> Evaluation:
    """ada/sums 1.0.0, public and measured."""
    return measure(publish(ada, "sums", readme="# Sums", domains=["mathematics"]))


@pytest.fixture
def asked(page: Page) -> list[str]:
    """Everything the page asked for."""
    return requests_of(page)


def requests_of(page: Page) -> list[str]:
    """A list that grows with every request of the page."""
    found: list[str] = []
    page.on("request", lambda request: found.append(request.url))
    return found


def strangers(asked: list[str], page: Page) -> list[str]:
    origin = "/".join(page.url.split("/")[:3])
    return [url for url in asked if not url.startswith((f"{origin}/", "about:"))]
