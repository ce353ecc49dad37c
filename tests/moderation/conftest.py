"""People of every standing."""

import pytest
from django.contrib.auth.models import Group

from hub.accounts.models import User
from tests.factories import make_user


@pytest.fixture
def owner(db) -> User:
    return make_user("ada")


@pytest.fixture
def moderator(db) -> User:
    user = make_user("mo", is_staff=True)
    user.groups.add(Group.objects.get(name="moderators"))
    return user


@pytest.fixture
def boss(db) -> User:
    return make_user("boss", is_staff=True, is_superuser=True)
