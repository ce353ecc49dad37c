"""A host that data comes from, and entries of the manifest that declare what it serves."""

import hashlib

import pytest
from django.core.files.storage import default_storage

from graders.pipeline import bundles
from graders.sandbox.bubblewrap import Bubblewrap
from tests.bundling.served import Served

WORDS = b"apple\nbanana\n"


@pytest.fixture
def sandbox(state_dir):
    """What is mounted is the same under both drivers; where it differs, both are named."""
    return Bubblewrap(state_dir)


@pytest.fixture
def host():
    """Where data comes from."""
    found = Served()
    yield found
    found.stop()


@pytest.fixture(autouse=True)
def _settings(served, host, store, settings, monkeypatch):
    settings.PACKAGE_INDEX_URL = served.url
    settings.DATA_HOSTS = [f"http://{host.address}"]
    monkeypatch.setattr(bundles, "store", lambda: store)


@pytest.fixture(autouse=True)
def _nothing_is_half_made(store):
    yield
    assert not list(store._root.glob("*/.new-*"))
    if default_storage.exists("incoming"):
        assert default_storage.listdir("incoming") == ([], [])


def gives(content: bytes, **headers: str):
    return lambda handler: handler.send(200, content, **headers)


@pytest.fixture
def declare(host: Served):
    """Serves a file, and gives its entry in the manifest."""

    def run(content: bytes = WORDS, path: str = "words.txt", **changed: str) -> dict[str, str]:
        host.behave(f"/{path}", gives(content))
        entry = {
            "url": f"http://{host.address}/{path}",
            "sha256": hashlib.sha256(content).hexdigest(),
            "path": path,
        }
        return entry | changed

    return run
