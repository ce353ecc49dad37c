"""People of every standing."""

import pytest

from hub.accounts.models import User
from tests.factories import make_moderator, make_user


@pytest.fixture
def owner(db) -> User:
    return make_user("ada")


@pytest.fixture
def moderator(db) -> User:
    return make_moderator(is_staff=True)


@pytest.fixture
def boss(db) -> User:
    return make_user("boss", is_staff=True, is_superuser=True)
