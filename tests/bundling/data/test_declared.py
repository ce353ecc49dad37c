"""Declared data: fetched at a build, checked, kept for good, and in the bundle at its place."""

import hashlib
import io
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage

from environments import cleaning, storage
from environments import services as catalogue
from graders.bundling import lock
from graders.bundling.store import Store
from graders.errors import EnvironmentFault, PlatformFault
from graders.link import ENV
from graders.pipeline import bundles, data
from graders.sandbox.bubblewrap import Bubblewrap
from tests import certificates
from tests.bundling.data.conftest import WORDS, gives
from tests.bundling.packages import wheel
from tests.bundling.served import Handler
from tests.bundling.versions import build, fingerprint, run_inside, stored_version
from tests.environments.making import plain_tar
from tests.factories import make_user

pytestmark = pytest.mark.django_db
UPLOAD = """
[project]
name = "held"
version = "1.0.0"

[tool.practicum]
entry = "held:make"
format = "dataset"
prepare = "held:left"

"""


def test_a_declared_file_is_where_it_belongs(declare, state_dir):
    version = stored_version(data=[declare(), declare(b"", "deep/er/none.bin")])
    sandbox = Bubblewrap(state_dir)
    build(version, sandbox)
    first, second = lock.read_data(version.lock)
    assert (first.path, first.size, second.size) == ("deep/er/none.bin", 0, len(WORDS))
    assert (second.url, second.sha256) == (version.data[0]["url"], version.data[0]["sha256"])
    assert lock.read(version.lock) == []
    with bundles.held(version, sandbox) as bundle:
        found = run_inside(
            sandbox, bundle, "import json; print(json.dumps(open('/env/data/words.txt').read()))"
        )
        assert ENV["PRACTICUM_DATA"] == "/env/data"
        modes = {path.stat().st_mode & 0o777 for path in bundle.rglob("data/**/*")}
    assert found == WORDS.decode()
    assert modes == {0o755, 0o444}


def test_whatever_the_umask_a_sandbox_can_read_it(declare, sandbox):
    before = os.umask(0o077)
    try:
        version = build(stored_version(data=[declare(path="a/b")]), sandbox)
        with bundles.held(version, sandbox) as bundle:
            modes = [mode for mode, _ in fingerprint(bundle / "data").values()]
    finally:
        os.umask(before)
    assert sorted(modes) == [0o444, 0o755]


def test_bundles_share_one_copy(declare, sandbox, store):
    entries = [declare(path="a"), declare(path="b")]
    one, two = (build(stored_version(module=m, data=entries), sandbox) for m in ("1", "2"))
    with bundles.held(one, sandbox) as first, bundles.held(two, sandbox) as second:
        files = [folder / "data" / name for folder in (first, second) for name in "ab"]
        assert len({path.stat().st_ino for path in files}) == 1
        assert files[0].stat().st_nlink == 5
    assert len(default_storage.listdir(f"data/{entries[0]['sha256'][:2]}")[1]) == 1


def test_a_rebuild_needs_neither_the_host_nor_the_store(declare, sandbox, store, host):
    version = build(stored_version(data=[declare()]), sandbox)
    with bundles.held(version, sandbox) as bundle:
        before = fingerprint(bundle)
    shutil.rmtree(store._root)
    host.behave("/words.txt", lambda handler: handler.send(410, b""))
    with bundles.held(version, sandbox) as bundle:
        assert fingerprint(bundle) == before
    text = version.lock
    version.lock = build(version, sandbox).lock  # as for another Python
    assert version.lock == text
    assert host.paths() == ["/words.txt"]


def test_who_knows_a_digest_alone_gets_nothing(declare, sandbox, host):
    """A file that the hub has is still fetched from where the next one says that it is."""
    entry = declare()
    build(stored_version(data=[entry]), sandbox)
    host.behave("/elsewhere", lambda handler: handler.send(404, b""))
    stranger = stored_version(data=[{**entry, "url": f"http://{host.address}/elsewhere"}])
    with pytest.raises(EnvironmentFault, match="/elsewhere answered 404"):
        build(stranger, sandbox)


def test_what_was_kept_and_is_lost_or_damaged_is_told(declare, sandbox, store):
    version = build(stored_version(data=[declare()]), sandbox)
    shutil.rmtree(store._root)
    (kept,) = Path(default_storage.path("data")).glob("*/*")
    os.truncate(kept, 3)
    with pytest.raises(PlatformFault, match="other bytes"), bundles.held(version, sandbox):
        pass
    kept.unlink()
    with (
        pytest.raises(PlatformFault, match=r"words.txt' is missing"),
        bundles.held(version, sandbox),
    ):
        pass


def test_environments_of_one_upload_share_what_was_fetched(declare, sandbox, host):
    owner, entry = make_user(), declare()
    first = build(stored_version(owner=owner, data=[entry]), sandbox)
    first.save()
    second = build(stored_version(owner=owner, data=[entry]), sandbox)
    assert lock.read_data(second.lock) == lock.read_data(first.lock)
    assert host.paths() == ["/words.txt"]
    build(stored_version(data=[entry]), sandbox)  # of somebody else
    assert host.paths() == ["/words.txt"] * 2


def test_other_bytes_are_refused_and_not_kept(declare, sandbox, host):
    entry = declare()
    host.behave("/words.txt", gives(b"other"))
    with pytest.raises(
        EnvironmentFault, match=r"words.txt has other bytes than the sha256"
    ) as told:
        build(stored_version(data=[entry]), sandbox)
    assert hashlib.sha256(b"other").hexdigest() in str(told.value)
    assert not default_storage.exists("data")


def test_content_that_changes_between_two_builds(declare, sandbox, host):
    """The first goes on as it was; the second is told."""
    entry = declare()
    first = build(stored_version(data=[entry]), sandbox)
    host.behave("/words.txt", gives(b"new\n"))
    with pytest.raises(EnvironmentFault, match="other bytes"):
        build(stored_version(data=[entry]), sandbox)
    with bundles.held(first, sandbox) as bundle:
        assert (bundle / "data/words.txt").read_bytes() == WORDS


def endless(handler: Handler) -> None:
    handler.send_response(200)
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(bytes(1 << 20))
    except OSError:
        handler.close_connection = True


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"data_file_mb": 2}, "words.txt' has more than 2 MiB"),
        ({"data_mb": 3}, "more than 3 MiB"),
    ],
)
def test_files_without_end(declare, sandbox, host, settings, store, limits, words):
    settings.BUILD_LIMITS = limits
    entry = declare()
    host.behave("/words.txt", endless)
    with pytest.raises(EnvironmentFault, match=words):
        build(stored_version(data=[entry]), sandbox)
    assert not list((store._root / "files").iterdir())


def test_files_are_counted_together(declare, sandbox, settings):
    entries = [declare(os.urandom(700_000), f"f{number}") for number in range(3)]
    settings.BUILD_LIMITS = {"data_mb": 1}
    with pytest.raises(EnvironmentFault, match="more than 1 MiB"):
        build(stored_version(data=entries), sandbox)
    settings.BUILD_LIMITS = {"data_files": 2}
    with pytest.raises(EnvironmentFault, match="or 2 files"):
        build(stored_version(data=entries), sandbox)


def test_data_counts_against_the_bundle(declare, sandbox, settings, served):
    served.add(*wheel("plain"))
    entries = [declare(os.urandom(700_000), f"f{number}") for number in range(2)]
    version = build(stored_version("plain", data=entries), sandbox)
    settings.BUILD_LIMITS = {"bundle_mb": 1}
    with (
        pytest.raises(EnvironmentFault, match="take more than 1 MiB"),
        bundles.held(version, sandbox),
    ):
        pass


def test_data_goes_after_its_bundle_when_the_disk_is_full(declare, sandbox, settings):
    tiny = Store(settings.PATHS.work / "tiny", 0)
    try:
        version = build(stored_version(data=[declare()]), sandbox)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(bundles, "store", lambda: tiny)
            with bundles.held(version, sandbox) as bundle:
                assert (bundle / "data/words.txt").stat().st_nlink == 2
                tiny.trim()
                assert (bundle / "data/words.txt").stat().st_nlink == 2
        tiny.trim()
        assert not any((tiny._root / "files").iterdir())
    finally:
        shutil.rmtree(tiny._root)


def test_two_builds_at_once(declare, sandbox):
    entry = declare(os.urandom(1 << 20))
    versions = [stored_version(data=[entry]) for _ in range(2)]
    found: list[Any] = []

    def work(version) -> None:
        found.append(bundles.lock(version, sandbox, job="both", check=lambda: None))

    both = [threading.Thread(target=work, args=(version,)) for version in versions]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert found[0] == found[1]
    assert json.loads(found[0].partition("# data ")[2])["sha256"] == entry["sha256"]


def test_what_check_raises_ends_a_download(declare, sandbox, host):
    class Cancelled(Exception):
        pass

    entry = declare()
    host.behave("/words.txt", endless)
    began = time.monotonic()

    def check() -> None:
        if time.monotonic() - began > 0.3:
            raise Cancelled

    with pytest.raises(Cancelled):
        bundles.lock(stored_version(data=[entry]), sandbox, job="c", check=check)


def test_a_hub_that_allows_no_host_says_so(declare, sandbox, settings):
    settings.DATA_HOSTS = []
    with pytest.raises(EnvironmentFault, match="allows these hosts, over https: none"):
        build(stored_version(data=[declare()]), sandbox)
    settings.DATA_HOSTS = ["http://example.org"]
    with pytest.raises(PlatformFault, match=r"DATA_HOSTS is wrong: .*use https"):
        build(stored_version(data=[declare()]), sandbox)


@pytest.fixture
def secure(host, settings, tmp_path, monkeypatch):
    """The host over TLS, as `localhost`, whose certificate a worker trusts."""
    certificate, context = certificates.made(tmp_path)
    plain = host._server.socket
    host._server.socket = context.wrap_socket(plain, server_side=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    port = host.address.rpartition(":")[2]
    settings.DATA_HOSTS = [f"https://localhost:{port}", f"https://127.0.0.1:{port}"]
    return port


def test_over_tls_the_certificate_has_to_be_the_hosts(declare, sandbox, secure):
    entry = declare()
    good = {**entry, "url": f"https://localhost:{secure}/words.txt"}
    (found,) = lock.read_data(build(stored_version(data=[good]), sandbox).lock)
    assert found.size == len(WORDS)
    bad = {**entry, "url": f"https://127.0.0.1:{secure}/words.txt"}
    with pytest.raises(PlatformFault, match="CERTIFICATE_VERIFY_FAILED"):
        build(stored_version(data=[bad]), sandbox)


def test_from_the_upload_to_the_bundle(declare, sandbox):
    entry = declare()
    lines = "\n".join(f"{key} = {value!r}" for key, value in entry.items())
    toml = f"{UPLOAD}[[tool.practicum.data]]\n{lines}\n"
    members = {"pyproject.toml": toml.encode(), "held.py": b"def make(): pass\ndef left(): pass\n"}
    owner = make_user()
    submitted = catalogue.submit(
        file=io.BytesIO(plain_tar(members, "held-1.0.0/")),
        filename="held-1.0.0.tar.gz",
        owner=owner,
        name=None,
        actor=owner,
    )
    version = submitted.version
    version.refresh_from_db()
    assert (version.prepare, version.data) == ("held:left", [entry])
    version.prepare = ""
    with bundles.held(build(version, sandbox), sandbox) as bundle:
        assert (bundle / "data/words.txt").read_bytes() == WORDS


def killed(work: Callable[[Callable[[], None]], None]) -> None:
    """Carry out work in a process of its own, which is killed when it calls what it is given."""
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:

        def here() -> None:
            os.write(told, b"!")
            time.sleep(600)

        try:
            work(here)
        finally:
            os._exit(1)
    try:
        assert os.read(ready, 1) == b"!"
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(ready)
        os.close(told)


def test_a_worker_that_is_killed_leaves_nothing_half_made(store, monkeypatch):
    depot = data.depot(store)

    def while_it_comes(here):
        depot.take("words.txt", (chunk() or WORDS for chunk in (lambda: WORDS, here)))

    def while_it_is_stored(here):
        monkeypatch.setattr(storage, "_flush", lambda path: here())
        depot.keep([found], lambda: None)

    killed(while_it_comes)
    assert not list((store._root / "files").glob("[!.]*"))
    found = depot.take("words.txt", [WORDS])
    killed(while_it_is_stored)
    assert not default_storage.exists("data")
    # Another worker goes on as if nothing had been; what is left is swept away when it is old.
    depot.keep([found], lambda: None)
    assert b"".join(depot.kept.get(found.sha256)) == WORDS
    monkeypatch.setattr("graders.bundling.store.SCRATCH_AGE_S", -1)
    store.trim()
    assert not list(store._root.glob("*/.new-*"))
    assert cleaning.clean(timedelta(0)) == 1
    assert default_storage.listdir("incoming") == ([], [])


def test_data_counts_against_its_owners_storage(declare, sandbox, settings):
    settings.QUOTAS = settings.QUOTAS | {"storage_mb": 2}
    owner = make_user()
    first = [declare(os.urandom(900_000), "a")]
    for number in range(2):  # the same bytes count once
        version = build(stored_version(owner=owner, data=first, module=str(number)), sandbox)
        version.save()
    more = [declare(os.urandom(900_000), name) for name in "bc"]
    with pytest.raises(EnvironmentFault, match="more than the 1 MiB that are left of its owner"):
        build(stored_version(owner=owner, data=more, module="3"), sandbox)
    build(stored_version(owner=owner, data=more[:1], module="4"), sandbox)
    build(stored_version(data=more, module="5"), sandbox)  # of somebody else


def test_what_fails_keeps_nothing(declare, sandbox):
    version = stored_version(
        data=[declare()], prepare="held:nothing", import_paths=[""], module="def nothing(): 1 / 0"
    )
    with pytest.raises(EnvironmentFault, match="ZeroDivisionError"):
        build(version, sandbox)
    assert not default_storage.exists("data")
