"""Rows for tests, as the services would have made them."""

import hashlib
from itertools import count

from django.contrib.auth.models import Group, Permission

from environments.models import Environment, Version
from graders.models import Evaluation, Profile, ReferenceModel
from graders.services import start
from hub.accounts.models import User

_numbers = count(1)

SMALL_PROFILE = {
    "name": "small",
    "tasks": 4,
    "rollouts": 2,
    "group": 2,
    "token_limit": 16,
    "turn_limit": 2,
    "prompts": 8,
    "is_default": True,
}


def make_user(username: str | None = None, **fields: object) -> User:
    """A person who can sign in with the password `secret`."""
    name = username or f"user{next(_numbers)}"
    return User.objects.create_user(username=name, password="secret", **fields)


def make_moderator(username: str = "mo", **fields: object) -> User:
    """A moderator. Their group is made too: tests that truncate take what migrations put there."""
    user = make_user(username, **fields)
    group, _ = Group.objects.get_or_create(name="moderators")
    group.permissions.add(Permission.objects.get(codename="moderate"))
    user.groups.add(group)
    return user


def make_version(owner: User | None = None, **fields: object) -> Version:
    """An uploaded version of a new environment; its archive is not stored."""
    owner = owner or make_user()
    number = next(_numbers)
    environment = fields.pop("environment", None) or Environment.objects.create(
        owner=owner, name=f"env{number}"
    )
    defaults = {
        "number": "1.0.0",
        "package": environment.name,
        "filename": "env.tar.gz",
        "kind": "tar.gz",
        "sha256": hashlib.sha256(str(number).encode()).hexdigest(),
        "size": 1000,
        "entry": "env:make",
        "readme_type": "text/markdown",
        "uploaded_by": owner,
    }
    return Version.objects.create(environment=environment, **(defaults | fields))


def make_model(**fields: object) -> ReferenceModel:
    """The default reference model; nothing answers at its address."""
    defaults = {
        "name": "test",
        "base_url": "http://127.0.0.1:9/v1",
        "model": "test",
        "is_default": True,
    }
    return ReferenceModel.objects.get_or_create(name="test", defaults=defaults | fields)[0]


def make_evaluation(version: Version | None = None, **profile: object) -> Evaluation:
    """A started evaluation under the default profile, changed by `profile`."""
    make_model()
    Profile.objects.update_or_create(
        is_default=True, defaults=profile, create_defaults=SMALL_PROFILE | profile
    )
    return start(version=version or make_version(), actor=None)
