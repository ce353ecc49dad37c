"""What every test has at hand, and the rule that nothing is skipped where it can run."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.core.cache import cache
from docker.errors import DockerException

import docker

CHROMIUM = "/usr/bin/chromium"


def _docker_missing() -> str | None:
    try:
        client = docker.from_env(timeout=5)
        client.images.get(settings.SANDBOX_IMAGES[0])
    except DockerException as error:
        return f"no Docker daemon with the image {settings.SANDBOX_IMAGES[0]}: {str(error)[:200]}"
    return None


def _chromium_missing() -> str | None:
    return None if shutil.which(CHROMIUM) else f"no Chromium at {CHROMIUM}"


def _root_missing() -> str | None:
    return None if os.geteuid() == 0 else "no right to mount disks: run the tests as root"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what cannot run here, unless the machine promises that everything can."""
    missing = {
        "docker": _docker_missing(),
        "chromium": _chromium_missing(),
        "root": _root_missing(),
    }
    for item in items:
        for mark, reason in missing.items():
            if reason and item.get_closest_marker(mark):
                if os.environ.get("PRACTICUM_NO_SKIPS") == "1":
                    pytest.exit(f"{mark} tests must run here, but there is {reason}", returncode=1)
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, settings) -> Iterator[None]:
    """Each test has files and rate limits of its own, and signs people in quickly."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    cache.clear()
    settings.STORAGES = settings.STORAGES | {
        "default": settings.STORAGES["default"] | {"OPTIONS": {"location": tmp_path / "media"}},
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }
    yield
    cache.clear()
