"""A version's bundle: from its row, through both drivers, to what a sandbox can import."""

import os
import shutil
import threading
from pathlib import Path

import pytest
from django.core.files.storage import default_storage

from graders.bundling.store import Store
from graders.errors import EnvironmentFault, PlatformFault
from graders.pipeline import bundles
from tests.bundling.packages import sdist, wheel
from tests.bundling.versions import build, fingerprint, run_inside, stored_version

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _served(served, store, settings, monkeypatch):
    settings.PACKAGE_INDEX_URL = served.url
    monkeypatch.setattr(bundles, "store", lambda: store)
    served.add(*wheel("plain", files={"plain/data.txt": b"data"}))
    served.add(*sdist("source"))


def test_what_was_locked_can_be_imported(sandbox):
    version = build(stored_version("plain", "source", package="held"), sandbox)
    with bundles.held(version, sandbox) as bundle:
        code = (
            "import json, plain, source, importlib.metadata as m\n"
            "print(json.dumps([plain.ORIGIN, source.ORIGIN, m.version('source'),\n"
            "    m.version('held')]))"
        )
        found = run_inside(sandbox, bundle, code)
    assert found == ["wheel", "built", "1.0", version.number]


@pytest.mark.parametrize(
    ("form", "locked"), [("verifiers-v0", "0.3.1"), ("verifiers-v1", "0.4.0"), ("", "0.4.0")]
)
def test_a_format_has_the_releases_that_it_runs_on(sandbox, served, form, locked):
    for number in ("0.3.1", "0.4.0"):
        served.add(*wheel("verifiers", number))
    version = build(stored_version("verifiers>=0.1", format=form), sandbox)
    assert f"verifiers=={locked} " in version.lock


def test_no_dependencies_ask_nothing_of_the_index(sandbox, served):
    version = build(stored_version(), sandbox)
    assert version.lock.startswith("# Python 3.")
    with bundles.held(version, sandbox) as bundle:
        assert sorted(path.name for path in bundle.iterdir()) == [
            "data",
            "project",
            "site-packages",
        ]
    assert served.seen == []


def test_the_same_lock_gives_the_same_bundle_after_the_store_was_lost(sandbox, store, served):
    version = build(stored_version("plain", "source"), sandbox)
    with bundles.held(version, sandbox) as bundle:
        before = fingerprint(bundle)
    shutil.rmtree(store._root)
    served.behave("/simple/source/", lambda handler: handler.send(500, b""))  # not asked again
    with bundles.held(version, sandbox) as bundle:
        assert fingerprint(bundle) == before
    assert any(path.endswith("source.py") for path in before)


def test_a_built_wheel_that_is_lost_is_told(sandbox, store):
    version = build(stored_version("source"), sandbox)
    shutil.rmtree(default_storage.path("wheels"))
    lost = r"source-1\.0-\S+ which was built here, is missing"
    with pytest.raises(PlatformFault, match=lost), bundles.held(version, sandbox):
        pass
    assert not list(store._root.glob("*/.new-*"))


def test_a_built_wheel_that_was_damaged_is_never_used(sandbox):
    version = build(stored_version("source"), sandbox)
    (kept,) = Path(default_storage.path("wheels")).glob("*/*")
    os.truncate(kept, 100)
    with pytest.raises(PlatformFault, match="other bytes"), bundles.held(version, sandbox):
        pass


def test_a_file_that_the_index_has_no_more_is_told(sandbox, served, store):
    version = build(stored_version("plain"), sandbox)
    shutil.rmtree(store._root)
    served.behave("/simple/plain/", lambda handler: handler.send(404, b""))
    gone = r"does not list plain-1\.0-py3-none-any\.whl"
    with pytest.raises(PlatformFault, match=gone), bundles.held(version, sandbox):
        pass


def test_whatever_the_umask_a_sandbox_can_read_it(sandbox, store):
    before = os.umask(0o077)
    try:
        version = build(stored_version("plain", "source"), sandbox)
        with bundles.held(version, sandbox) as bundle:
            found = run_inside(
                sandbox,
                bundle,
                "import json, plain; place = '/env/site-packages/plain/data.txt'\n"
                "print(json.dumps(open(place).read()))",
            )
            modes = {mode for mode, _ in fingerprint(bundle).values()}
    finally:
        os.umask(before)
    assert found == "data"
    assert modes <= {0o755, 0o444, 0o555, 0o644}
    folders = [path for path in (store._root / "wheels").rglob("*") if path.is_dir()]
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o755}


def test_bundles_share_the_files_of_a_wheel(sandbox, store):
    first, second = (build(stored_version("plain", number=n), sandbox) for n in ("1", "2"))
    with bundles.held(first, sandbox) as one:
        inode = (one / "site-packages/plain.py").stat().st_ino
        second.sha256 = first.sha256
        second.lock += "# another\n"
        with bundles.held(second, sandbox) as two:
            assert (two / "site-packages/plain.py").stat().st_ino == inode
            assert (two / "site-packages/plain.py").stat().st_nlink == 3


def test_two_builds_of_one_version_at_once(sandbox):
    version = stored_version("plain", "source")
    found: list[object] = []

    def work() -> None:
        found.append(bundles.lock(version, sandbox, job="both", check=lambda: None))

    both = [threading.Thread(target=work) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert len(found) == 2
    for text in found:
        version.lock = text
        with bundles.held(version, sandbox) as bundle:
            assert (bundle / "site-packages/source.py").exists()


@pytest.mark.parametrize("files", [{"plain.py/inner.py": b""}, {"plain": b"a file"}])
def test_packages_that_clash(sandbox, served, files):
    served.add(*wheel("zclash", files=files))
    version = build(stored_version("plain", "zclash"), sandbox)
    words = "has a file where another package has a folder"
    with pytest.raises(EnvironmentFault, match=words), bundles.held(version, sandbox):
        pass


def test_bundles_have_a_size(sandbox, served, settings, store):
    served.add(*wheel("large", files={"large.bin": bytes(3 << 20)}))
    version = build(stored_version("large", "plain"), sandbox)
    settings.BUILD_LIMITS = {"bundle_mb": 1}
    with pytest.raises(EnvironmentFault, match="1 MiB"), bundles.held(version, sandbox):
        pass
    settings.BUILD_LIMITS = {"bundle_mb": 3}
    with pytest.raises(EnvironmentFault, match="3 MiB"), bundles.held(version, sandbox):
        pass
    assert not list((store._root / "bundles").iterdir())


def test_a_build_that_fails_leaves_no_more_than_the_budget(sandbox, served, settings, monkeypatch):
    tiny = Store(settings.PATHS.work / "tiny", 0)
    monkeypatch.setattr(bundles, "store", lambda: tiny)
    served.add(*sdist("broken", code="raise RuntimeError", files={"pad": os.urandom(100_000)}))
    try:
        with pytest.raises(EnvironmentFault):
            build(stored_version("broken"), sandbox)
        assert tiny.trim() < 64 * 1024
        assert not list((tiny._root / "files").iterdir())
    finally:
        shutil.rmtree(tiny._root)


def test_credentials_of_the_index_are_in_no_fault_and_no_sandbox(sandbox, served, settings):
    settings.PACKAGE_INDEX_URL = f"http://reader:hunter2@{served.address}/simple"
    code = (
        "import subprocess\n"
        "text = repr(dict(os.environ)) + open('/proc/self/mountinfo').read()\n"
        "assert 'hunter2' not in text and 'reader' not in text\n"
    )
    served.add(*sdist("looks", code=code))
    version = build(stored_version("looks"), sandbox)
    assert "hunter2" not in version.lock
    with pytest.raises(EnvironmentFault) as caught:
        build(stored_version("nowhere"), sandbox)
    assert "hunter2" not in str(caught.value)
    served.behave("/simple/plain/", lambda handler: handler.send(401, b""))
    with pytest.raises(PlatformFault, match="answered 401 for /simple/plain/") as platform:
        build(stored_version("plain"), sandbox)
    assert "hunter2" not in str(platform.value)


def test_a_lock_that_was_damaged_is_told(store):
    version = stored_version()
    version.lock = "not a lock\n"
    with pytest.raises(PlatformFault, match="lock"), bundles.held(version, None):
        pass
