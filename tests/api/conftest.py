"""People with tokens, and archives to send."""

import gzip
import io
import tarfile
from collections.abc import Callable

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.response import Response
from rest_framework.test import APIClient

from environments import services
from environments.models import Version
from environments.states import Review
from hub.accounts.models import Scope, User
from hub.accounts.services import create_token
from tests.factories import make_moderator, make_user

PROJECT = """[project]
name = "{name}"
version = "{version}"
description = "Coin flips to be guessed"
readme = "README.md"
license = "MIT"
requires-python = ">=3.11"
dependencies = ["numpy>=2"]

[tool.practicum]
entry = "coins:make"
format = "gymnasium"
tags = ["luck"]
domains = ["games"]
strategies = ["exploration"]
max_turns = 3
"""
CODE = "def make():\n    return None  # {mark}\n"


def packed(name: str = "coins", version: str = "1.0.0", mark: str = "") -> bytes:
    """An acceptable archive, always the same bytes; another `mark` gives others."""
    files = {
        "pyproject.toml": PROJECT.format(name=name, version=version),
        "README.md": "# Coins\n",
        "coins.py": CODE.format(mark=mark),
    }
    out = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=out, mode="wb", mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for path, text in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return out.getvalue()


def client_of(user: User, *scopes: str) -> APIClient:
    """A client with a token of these scopes; without any, of all."""
    wanted = list(scopes) or list(Scope)
    _, text = create_token(user=user, name="test", actor=user, scopes=wanted)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {text}")
    return client


@pytest.fixture
def anonymous(db) -> APIClient:
    return APIClient()


@pytest.fixture
def owner(db) -> User:
    return make_user("ada")


@pytest.fixture
def moderator(db) -> User:
    return make_moderator()


@pytest.fixture
def clients(owner: User, moderator: User, anonymous: APIClient) -> dict[str, APIClient]:
    """A client for each part that somebody can have."""
    return {
        "anonymous": anonymous,
        "other": client_of(make_user("olga")),
        "owner": client_of(owner),
        "moderator": client_of(moderator),
    }


@pytest.fixture
def pending(owner: User) -> Version:
    """A version that waits for a moderator, its bytes stored."""
    return add(owner)


@pytest.fixture
def public(pending: Version) -> Version:
    """A version that everybody sees."""
    services.decide(version=pending, review=Review.APPROVED, actor=None)
    return pending


def add(owner: User, name: str = "coins", version: str = "1.0.0", approve: bool = False) -> Version:
    found = services.submit(
        file=io.BytesIO(packed(name, version)),
        filename=f"{name}-{version}.tar.gz",
        owner=owner,
        name=name,
        actor=owner,
    ).version
    if approve:
        services.decide(version=found, review=Review.APPROVED, actor=None)
    return found


Upload = Callable[..., Response]


@pytest.fixture
def upload() -> Upload:
    def send(
        client: APIClient, data: bytes, at: str = "ada/coins", filename: str = "coins.tar.gz"
    ) -> Response:
        archive = SimpleUploadedFile(filename, data)
        url = f"/api/v1/environments/{at}/versions/"
        return client.post(url, {"archive": archive, "changelog": "First."}, format="multipart")

    return send
