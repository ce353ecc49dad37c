"""The data step: what a version's `prepare` leaves becomes its data, whatever it tries."""

import hashlib
import json
import shutil
import textwrap
import time
from pathlib import Path

import pytest
from django.core.files.storage import default_storage

from graders.bundling import driven, lock
from graders.errors import EnvironmentFault, PlatformFault
from graders.pipeline import bundles
from graders.sandbox.bubblewrap import Bubblewrap
from tests.bundling.hub import Hub
from tests.bundling.test_session import LIAR
from tests.bundling.versions import build, fingerprint, run_inside, stored_version
from tests.factories import make_user
from tests.sandbox.support import left_by

pytestmark = pytest.mark.django_db
TOP = "import os\nfrom pathlib import Path\nDATA = Path(os.environ['PRACTICUM_DATA'])\n"
QUICK = {"seconds": 60, "memory_mb": 768, "tmp_mb": 64}


@pytest.fixture
def one_driver(state_dir):
    return Bubblewrap(state_dir)


@pytest.fixture
def hub():
    found = Hub("someone/words", {"README.md": b"# Words\n", "data/words.txt": b"apple\n"})
    yield found
    found.stop()


@pytest.fixture(autouse=True)
def _settings(hub, store, settings, monkeypatch):
    settings.DATA_HOSTS = [hub.url, f"http://{hub.cdn}"]
    settings.DATA_HUB = hub.url
    settings.BUILD_LIMITS = QUICK
    monkeypatch.setattr(bundles, "store", lambda: store)


@pytest.fixture(autouse=True)
def _nothing_is_left(store, one_driver):
    yield
    assert not list(store._root.glob("*/.new-*"))
    assert left_by(one_driver) == ([], [], [], set())
    if default_storage.exists("incoming"):
        assert default_storage.listdir("incoming") == ([], [])


def version(body: str, **fields):
    """A version whose `prepare` runs those lines."""
    code = f"{TOP}def prepare(**args):\n{textwrap.indent(textwrap.dedent(body), '    ')}\n"
    named = {"prepare": "held:prepare", "import_paths": [""]} | fields
    return stored_version(module=code, **named)


LEAVE = """
(DATA / "deep" / "er").mkdir(parents=True)
(DATA / "deep/er/one.txt").write_text("one")
(DATA / "two.txt").write_text("two")
(DATA / "link.txt").symlink_to("deep/er/one.txt")
os.link(DATA / "two.txt", DATA / "hard.txt")
(DATA / "empty.lock").touch()
(DATA / "empty").touch()
print("said something")
"""


def test_what_it_leaves_is_data(sandbox):
    made = build(version(LEAVE), sandbox)
    found = {file.path: file for file in lock.read_data(made.lock)}
    assert sorted(found) == ["deep/er/one.txt", "empty", "hard.txt", "link.txt", "two.txt"]
    assert {file.url for file in found.values()} == {None}
    assert found["link.txt"].sha256 == hashlib.sha256(b"one").hexdigest()
    with bundles.held(made, sandbox) as bundle:
        assert not any(path.is_symlink() for path in bundle.rglob("*"))
        code = "import json; print(json.dumps([open('/env/data/link.txt').read()]))"
        assert run_inside(sandbox, bundle, code) == ["one"]
        assert (bundle / "data/hard.txt").stat().st_nlink == 3


def test_a_rebuild_runs_nothing_again(one_driver, store, monkeypatch):
    made = build(version("(DATA / 'x').write_bytes(os.urandom(9))"), one_driver)
    with bundles.held(made, one_driver) as bundle:
        before = fingerprint(bundle)
    shutil.rmtree(store._root)
    with bundles.held(made, one_driver) as bundle:
        assert fingerprint(bundle) == before
    text = made.lock
    monkeypatch.setattr(Bubblewrap, "start", lambda *_: pytest.fail("a sandbox was started"))
    assert bundles.lock(made, one_driver, job="again", check=lambda: None) == text


def test_its_entry_gets_the_arguments_of_the_environment(one_driver):
    made = version("(DATA / 'args').write_text(repr(args))", entry="held:prepare", args={"size": 3})
    build(made, one_driver)
    with bundles.held(made, one_driver) as bundle:
        assert (bundle / "data/args").read_text() == "{'size': 3}"


def test_environments_of_one_upload_share_what_was_prepared_alike(one_driver):
    owner = make_user()
    body = "(DATA / 'args').write_text(repr(args) + repr(os.urandom(9)))"

    def made(**fields):
        found = build(version(body, owner=owner, **fields), one_driver)
        found.save()
        return lock.read_data(found.lock)

    assert made(entry="held:make", args={"a": 1}) == made(entry="held:make", args={"a": 2})
    one = made(entry="held:prepare", args={"a": 1})
    assert one == made(entry="held:prepare", args={"a": 1})
    assert one != made(entry="held:prepare", args={"a": 2})


def test_an_asynchronous_one_is_awaited(one_driver):
    code = f"{TOP}async def prepare():\n    (DATA / 'x').write_text('awaited')\n"
    made = stored_version(module=code, prepare="held:prepare", import_paths=[""])
    with bundles.held(build(made, one_driver), one_driver) as bundle:
        assert (bundle / "data/x").read_text() == "awaited"


def test_it_sees_declared_data_and_may_not_replace_it(one_driver, hub):
    words = hub.files["data/words.txt"]
    entry = {
        "url": f"{hub.url}/cdn/data/words.txt",
        "sha256": hashlib.sha256(words).hexdigest(),
        "path": "raw/words.txt",
    }
    body = "(DATA / 'upper').write_text((DATA / 'raw/words.txt').read_text().upper())"
    made = build(version(body, data=[entry]), one_driver)
    assert [file.path for file in lock.read_data(made.lock)] == ["raw/words.txt", "upper"]
    with bundles.held(made, one_driver) as bundle:
        assert (bundle / "data/upper").read_text() == "APPLE\n"
        assert (bundle / "data/raw/words.txt").read_bytes() == words
    body = "(DATA / 'raw/words.txt').unlink(); (DATA / 'raw/words.txt').write_text('x')"
    with pytest.raises(EnvironmentFault, match=r"left 'raw/words.txt', which is declared"):
        build(version(body, data=[entry]), one_driver)


ASK = """
import json, urllib.error, urllib.request
hub = os.environ["HF_ENDPOINT"]
relay = hub.split("/http/")[0]
said = {}
def ask(url, method="GET", **headers):
    request = urllib.request.Request(url, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return [answer.status, answer.read().decode(), dict(answer.headers)]
    except urllib.error.HTTPError as error:
        return [error.code, "", {}]
    except OSError as error:
        return [str(error), "", {}]
for name, arguments in CALLS.items():
    said[name] = ask(arguments[0].format(hub=hub, relay=relay), *arguments[1:])
(DATA / "said").write_text(json.dumps(said))
"""


def asked(calls: dict, sandbox) -> dict[str, list]:
    made = build(version(ASK.replace("CALLS", repr(calls))), sandbox)
    with bundles.held(made, sandbox) as bundle:
        return json.loads((bundle / "data/said").read_text())


def test_it_reaches_allowed_hosts_and_nothing_else(one_driver, hub):
    found = asked(
        {
            "file": ("{hub}/datasets/someone/words/resolve/main/data/words.txt",),
            "head": ("{hub}/api/datasets/someone/words", "HEAD"),
            "post": ("{hub}/api/datasets/someone/words", "POST"),
            "put": ("{hub}/api/datasets/someone/words", "PUT"),
            "another": ("{relay}/https/evil.example/x",),
            "metadata": ("{relay}/http/169.254.169.254/latest/meta-data/",),
            "loopback": ("{relay}/http/127.0.0.1:1/x",),
            "index": ("{relay}/simple/numpy/",),
            "file scheme": ("{relay}/file//etc/passwd",),
            "top": ("{relay}/",),
            "direct": (f"{hub.url}/api/datasets/someone/words",),
        },
        one_driver,
    )
    status, body, headers = found.pop("file")
    assert (status, body) == (200, "apple\n")  # by way of a redirect, which leads through the relay
    assert hub.seen[:2] == [
        "GET /datasets/someone/words/resolve/main/data/words.txt",
        "GET /cdn/data/words.txt?signed=yes",
    ]
    status, body, headers = found.pop("head")
    assert (status, body) == (200, "")
    assert int(headers["Content-Length"]) > 100
    assert "refused" in found.pop("direct")[0]
    assert {found.pop(name)[0] for name in ("post", "put")} == {501}
    assert {status for status, *_ in found.values()} == {403}


def test_what_was_refused_is_told_when_it_fails(one_driver):
    body = """
        import urllib.request
        relay = os.environ["HF_ENDPOINT"].split("/http/")[0]
        urllib.request.urlopen(relay + "/https/evil.example/x")
    """
    with pytest.raises(EnvironmentFault) as told:
        build(version(body), one_driver)
    said = str(told.value)
    assert said.startswith("The data step failed.\nHTTPError: HTTP Error 403")
    assert "project/held.py, line" in said or "held.py, line" in said
    assert "Data may not come from https://evil.example:443" in said
    assert "127.0.0.1:" not in said.replace("http://127.0.0.1:", "", 3)


def test_a_hub_that_is_away_is_not_the_versions_fault(one_driver, hub):
    body = "import urllib.request; urllib.request.urlopen(os.environ['HF_ENDPOINT'] + '/x')"
    hub.stop()
    with pytest.raises(PlatformFault, match=r"127\.0\.0\.1 did not answer"):
        build(version(body), one_driver)


FAULTS = {
    "raises": ("raise ValueError('no words')", "(?s)data step failed.*ValueError: no words"),
    "leaves nothing": ("pass", "left nothing in"),
    "leaves folders": ("(DATA / 'x').mkdir()", "left nothing in"),
    "exits": ("raise SystemExit(3)", "data step failed"),
    "is gone": ("os._exit(7)", "ended with code 7"),
    "kills all": ("os.kill(-1, 9)", "ended before it was done"),
    "sleeps": ("import time; time.sleep(600)", "The data step took more than 6 s"),
    "eats memory": ("hog = []\nwhile True: hog.append(bytearray(1 << 20))", "data step"),
    "fills the disk": ("(DATA / 'x').write_bytes(bytes(100 << 20))", "data step failed|768 MiB"),
    "a sparse file": ("os.truncate(os.open(DATA / 'x', 66), 60 << 20)", "has more than 8 MiB"),
    "many sparse files": (
        "for n in range(9): os.truncate(os.open(DATA / f'x{n}', 66), 4 << 20)",
        "more than 16 MiB",
    ),
    "many files": ("for n in range(3000): (DATA / f'x{n}').touch()", "or 100 files"),
    "a pipe": ("os.mkfifo(DATA / 'x')", "Operation not permitted"),
    "a socket": (
        "import socket; socket.socket(socket.AF_UNIX).bind(str(DATA / 'x'))",
        "left 'x', which cannot be read",
    ),
    "a link to a device": ("(DATA / 'x').symlink_to('/dev/zero')", "left 'x', which is neither"),
    "a link to nothing": ("(DATA / 'x').symlink_to('nothing')", "left 'x', which cannot be read"),
    "a link to itself": ("(DATA / 'x').symlink_to('x')", "left 'x', which cannot be read"),
    "a link to a folder": ("(DATA / 'x').symlink_to('/etc')", "left 'x', which is neither"),
    "a locked file": ("(DATA / 'x').touch(); (DATA / 'x').chmod(0)", "left 'x', which cannot"),
    "a name that is no text": (
        "open(bytes(DATA) + b'/\\xff', 'w').close()",
        "which cannot be read: 'utf-8' codec",
    ),
    "a name of controls": ("(DATA / 'a\\nb\\x1b[31m').touch()", "must be relative"),
    "a name of backslashes": ("(DATA / '..\\\\x').touch()", "must be relative"),
    "a deep path": ("(DATA / '/'.join('a' * 30)).mkdir(parents=True)\n"
                    "(DATA / '/'.join('a' * 30) / 'x').touch()", "too long or too deep"),
    "no folder at all": ("import shutil; shutil.rmtree(DATA)", "left nothing in"),
    "a file in its place": (
        "import shutil; shutil.rmtree(DATA); DATA.write_text('x')", "left nothing in"
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", FAULTS)
def test_faults_and_attacks_end_with_a_reason(one_driver, settings, what):
    code, words = FAULTS[what]
    settings.BUILD_LIMITS = QUICK | {"data_mb": 16, "data_file_mb": 8, "data_files": 100}
    settings.BUILD_LIMITS |= {"seconds": 6} if what == "sleeps" else {}
    began = time.monotonic()
    with pytest.raises(EnvironmentFault, match=words) as told:
        build(version(code), one_driver)
    assert time.monotonic() - began < 45
    assert "\x1b" not in str(told.value)


def test_who_forks_and_stays_is_gone_at_the_end(one_driver):
    body = """
        if os.fork() == 0:
            os.setsid()
            for number in range(3):
                os.close(number)
            import time
            while True:
                (DATA / "x").write_bytes(os.urandom(1 << 16))
                time.sleep(0.001)
        (DATA / "y").touch()
    """
    made = version(body)
    try:
        build(made, one_driver)
    except EnvironmentFault as error:  # a file that changed while it was read
        assert "another size" in str(error)


def test_a_link_out_of_the_folder_gives_what_the_sandbox_may_read(one_driver):
    """The worker follows nothing: the bytes come from inside, where there is no secret."""
    made = build(version("(DATA / 'x').symlink_to('/etc/passwd')"), one_driver)
    with bundles.held(made, one_driver) as bundle:
        assert not (bundle / "data/x").is_symlink()
        text = (bundle / "data/x").read_text()
    assert text != Path("/etc/passwd").read_text()


def test_no_secret_is_inside(one_driver, monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "very-secret")
    made = build(version("(DATA / 'env').write_text(repr(dict(os.environ)))"), one_driver)
    with bundles.held(made, one_driver) as bundle:
        text = (bundle / "data/env").read_text()
    assert "secret" not in text
    assert "HF_HUB_OFFLINE" not in text
    assert "'HF_HOME': '/tmp/data/hf'" in text


LIES = {
    "a way out": "say('file', path='../x', size=0, same=None)",
    "an absolute path": "say('file', path='/etc/x', size=0, same=None)",
    "twice": "say('file', path='x', size=0, same=None); say('file', path='x', size=0, same=None)",
    "a file and a folder": (
        "say('file', path='x', size=0, same=None); say('file', path='x/y', size=0, same=None);"
        "say('prepared')"
    ),
    "a link to what never came": "say('file', path='x', size=0, same='y')",
    "a link out": "say('file', path='x', size=0, same='/etc/passwd')",
    "a link of another size": (
        "say('file', path='x', size=0, same=None); say('file', path='y', size=9, same='x')"
    ),
    "too much": "say('file', path='x', size=3, same=None); say('piece', data='YWJjZA==')",
    "too little": "say('file', path='x', size=3, same=None); say('prepared')",
    "no bytes": "say('file', path='x', size=3, same=None); say('piece', data='')",
    "no base64": "say('file', path='x', size=3, same=None); say('piece', data='!')",
    "a size below nothing": "say('file', path='x', size=-1, same=None)",
    "a size that is none": "say('file', path='x', size=1.5, same=None)",
    "a huge size": "say('file', path='x', size=1 << 39, same=None)",
    "a lock": "say('lock', text='')",
    "a wheel": "say('wheel', filename='x-1-py3-none-any.whl', size=0)",
    "a question of the index": "say('fetch', rid=1, path='/simple/x/')",
    "a method too long": "say('fetch', rid=1, path='/', method='G' * 200, range='')",
    "a path too long": "say('fetch', rid=1, path='/' * 5000, method='GET', range='')",
    "questions for ever": (
        "while True: say('fetch', rid=1, path='/https/x/', method='GET', range='')"
    ),
    "gone": "sys.exit(3)",
    "failed": "say('failed', text='\\x1b[31mforged')",
}


@pytest.mark.parametrize("what", LIES)
def test_a_builder_that_lies(one_driver, settings, monkeypatch, what):
    settings.BUILD_LIMITS = QUICK | {"requests": 50}
    code = f"{LIAR}\nready()\nwhile reader.read()['type'] != 'prepare': pass\n{LIES[what]}\n"
    monkeypatch.setattr(driven, "ARGV", ("python3", "-u", "-c", code))
    began = time.monotonic()
    with pytest.raises(EnvironmentFault) as told:
        build(version("pass"), one_driver)
    assert time.monotonic() - began < 20
    assert "\x1b" not in str(told.value)
    assert not Path("/etc/x").exists()


def test_who_asks_for_a_method_or_range_gets_no_header_of_its_own(one_driver, hub, monkeypatch):
    code = (
        f"{LIAR}\nready()\nwhile reader.read()['type'] != 'prepare': pass\n"
        f"say('fetch', rid=1, path='/http/{hub.url[7:]}/a', method='GET', "
        "range='bytes=0-1\\r\\nX: y')\n"
        f"say('fetch', rid=2, path='/http/{hub.url[7:]}/b', method='DELETE', range='')\n"
        "import time\ntime.sleep(1); say('failed', text='done')\n"
    )
    monkeypatch.setattr(driven, "ARGV", ("python3", "-u", "-c", code))
    with pytest.raises(EnvironmentFault, match="done"):
        build(version("pass"), one_driver)
    assert hub.seen == ["GET /a"]


def test_cancelling_ends_it_at_once(one_driver):
    class Cancelled(Exception):
        pass

    began = time.monotonic()

    def check() -> None:
        if time.monotonic() - began > 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        bundles.lock(version("import time; time.sleep(600)"), one_driver, job="cancel", check=check)
    assert time.monotonic() - began < 10
