"""Builds that attack: each ends with the right error, and nothing is left behind."""

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from graders.bundling import lock
from graders.errors import EnvironmentFault
from tests.bundling.packages import sdist
from tests.sandbox.support import left_by

QUICK = {"seconds": 60, "memory_mb": 768, "tmp_mb": 64}


@pytest.fixture(autouse=True)
def nothing_is_left(sandbox, store) -> Iterator[None]:
    yield
    assert left_by(sandbox) == ([], [], [], set())
    assert not list(store._root.glob("*/.*"))


@pytest.fixture
def attack(served, make_stock, resolve):
    """Builds `evil`, whose backend runs `code` once its wheel is written."""

    def run(code: str, **limits: float) -> list[lock.Locked]:
        served.add(*sdist("evil", code=code))
        return resolve(["evil"], make_stock(**(QUICK | limits)))

    return run


@pytest.fixture
def says(served, make_stock, built):
    """What an attack found, which it left as `said` in its wheel."""

    def run(code: str) -> dict[str, object]:
        keep = (
            "with zipfile.ZipFile(PATH, 'a') as wheel:\n"
            "    wheel.writestr('said', json.dumps(said))\n"
        )
        served.add(*sdist("evil", code=f"import json\nsaid = {{}}\n{code}\n{keep}"))
        with built(["evil"], make_stock(**QUICK)) as tree:
            found: dict[str, object] = json.loads((tree / "said").read_text())
        return found

    return run


LOOK = """
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        command = open(f"/proc/{pid}/cmdline").read()
    except OSError:
        continue
    if not command.startswith("python3\\0") or "practicum_builder" not in command:
        continue
    said.setdefault("seen", 0)
    said["seen"] += 1
    for what in ("mem", "environ", "maps", "auxv"):
        try:
            open(f"/proc/{pid}/{what}", "rb").read(1)
            said[f"{pid} {what}"] = command
        except OSError:
            pass
    for number in range(64):
        for mode in ("rb", "wb"):
            try:
                open(f"/proc/{pid}/fd/{number}", mode, buffering=0).close()
                said[f"{pid} fd {number}"] = command
            except OSError:
                pass
    try:
        os.kill(int(pid), 0)
    except OSError:
        said[f"{pid} gone"] = command
"""


def test_the_builder_cannot_be_looked_into(says):
    assert says(LOOK) == {"seen": 1}


WRITE = """
for folder in ("/", "/opt", "/opt/practicum_builder", "/opt/practicum_runner", "/opt/zig", "/env",
               "/usr", "/usr/bin", "/usr/lib", "/etc", "/dev", "/proc/sys/kernel", "/root",
               "/home", "/var/tmp", "/run", "/sys"):
    try:
        open(f"{folder}/evil", "w").close()
        said[folder] = "written"
    except OSError:
        pass
for path in ("/opt/uv", "/opt/practicum_builder/main.py", "/usr/bin/python3", "/etc/passwd"):
    for attempt in (lambda: open(path, "r+"), lambda: os.chmod(path, 0o777),
                    lambda: os.unlink(path), lambda: os.rename(path, path + "x")):
        try:
            attempt()
            said[path] = "changed"
        except OSError:
            pass
"""


def test_nothing_can_be_written_beside_tmp(says):
    assert says(WRITE) == {}


READ = """
words = []
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        words += open(f"/proc/{pid}/environ").read().split("\\0")
    except OSError:
        pass
said["names"] = sorted({word.split("=")[0] for word in words if "=" in word})
said["readable"] = [path for path in ("/etc/shadow", "/root/.bashrc", "/var/run/docker.sock",
    "/run/docker.sock", "/proc/kcore", "/proc/keys", "/dev/mem", "/dev/sda", "/dev/kmsg")
    if os.access(path, os.R_OK) and os.path.exists(path)]
links = open("/proc/net/dev").readlines()[2:]
said["network"] = sorted(line.split(":")[0].strip() for line in links)
said["mounts"] = open("/proc/self/mountinfo").read()
"""


def test_no_secret_and_no_address_is_inside(says, served, monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "very-secret")
    monkeypatch.setenv("PACKAGE_INDEX_URL", "http://u:very-secret@127.0.0.1:9/")
    found = says(READ)
    assert not {"SECRET_KEY", "PACKAGE_INDEX_URL", "DATABASE_URL"} & set(found["names"])
    assert [path for path in found["readable"] if path != "/proc/keys"] == []
    assert found["network"] == ["lo"]
    assert served.address not in json.dumps(found)


FORGE = """
import struct
def framed(frame):
    data = frame.encode()
    return struct.pack(">I", len(data)) + data
shots = b"".join(map(framed, (
    '{"type":"failed","nonce":"","seq":0,"text":"forged"}',
    '{"type":"lock","nonce":"0","seq":1,"text":""}',
    '{"type":"piece","nonce":"%s","seq":2,"data":""}' % ("0" * 32),
)))
places = [f"/proc/{pid}/fd/{number}" for pid in os.listdir("/proc") if pid.isdigit()
          for number in range(16)]
for number in range(64):
    try:
        os.set_blocking(number, False)
        os.write(number, shots)
    except OSError:
        pass
for place in places:
    try:
        where = os.open(place, os.O_WRONLY | os.O_NONBLOCK)
        os.write(where, shots)
    except OSError:
        pass
"""


def test_forged_frames_change_nothing_but_their_own_build(attack):
    """They reach nobody, or the worker tells them by their nonce."""
    try:
        (found,) = attack(FORGE)
    except EnvironmentFault as error:
        assert "protocol" in str(error) or "cannot be installed" in str(error)
    else:
        assert found.filename == "evil-1.0-py3-none-any.whl"


STEAL = """
import re, struct, threading, urllib.request
def listen():
    while True:
        try:
            source = os.open("/proc/1/fd/0", os.O_RDONLY)
            data = os.read(source, 65536)
        except OSError:
            return
        found = re.search(rb'"nonce":"([0-9a-f]{32})"', data)
        if not found:
            continue
        for seq in range(40):
            frame = b'{"type":"wheel","nonce":"%s","seq":%d,' % (found[1], seq)
            frame += b'"filename":"stolen-1.0-py3-none-any.whl","size":0}'
            os.write(os.open("/proc/1/fd/1", os.O_WRONLY), struct.pack(">I", len(frame)) + frame)
for _ in range(2):
    threading.Thread(target=listen, daemon=True).start()
for number in range(20):
    try:
        urllib.request.urlopen(os.environ["UV_DEFAULT_INDEX"] + f"/p{number}/", timeout=2)
    except OSError:
        pass
"""


def test_stolen_nonces_give_no_other_package(attack):
    """Where a nonce can be had, forged frames are judged like true ones."""
    with suppress(EnvironmentFault):
        (found,) = attack(STEAL, seconds=30)
        assert found.name == "evil"
        assert found.filename == "evil-1.0-py3-none-any.whl"


STAY = """
for _ in range(5):
    if os.fork() == 0:
        os.setsid()
        for number in range(3):
            os.close(number)
        import time
        time.sleep(600)
        os._exit(0)
"""


def test_who_forks_and_stays_is_gone_at_the_end(attack):
    began = time.monotonic()
    (found,) = attack(STAY)
    assert found.built_from
    assert time.monotonic() - began < 20


GREED = {
    "sleeps": ("import time; time.sleep(600)", {"seconds": 4}, "took more than 4 s"),
    "spins": ("while True: pass", {"seconds": 4}, "took more than 4 s"),
    "eats memory": (
        "hog = []\nwhile True: hog.append(bytearray(1 << 20))",
        {"memory_mb": 256},
        "took more than 256 MiB of memory",
    ),
    "fills the disk": (
        "with open('/tmp/big', 'wb') as big:\n    while True: big.write(bytes(1 << 20))",
        {},
        "No space left|File too large",
    ),
    "makes files": (
        "for number in range(100000): open(f'/tmp/{number}', 'w').close()",
        {},
        "No space left",
    ),
    "floods output": (
        "while True: os.write(1, b'x' * 65536)",
        {"seconds": 6},
        "took more than (6 s|768 MiB)",
    ),
    "floods errors": (
        "while True: os.write(2, b'x' * 65536)",
        {"seconds": 6},
        "took more than (6 s|768 MiB)",
    ),
    # Which limit it meets first is chance.
    "forks": (
        "while True: os.fork()",
        {"seconds": 6},
        "cannot be installed|took more than (6 s|768 MiB)",
    ),
    "says too much": (
        "raise RuntimeError('\\x1b[31m' + 'x' * 100000)",
        {},
        r"cannot be installed[^\x1b]*\[\.\.\.\]",
    ),
    "leaves": ("raise SystemExit(0)", {}, "cannot be installed"),
    "is gone": ("os._exit(0)", {}, "cannot be installed"),
    "kills uv": ("os.kill(os.getppid(), 9)", {}, "uv was ended by signal 9"),
    "kills its group": ("os.kill(0, 9)", {}, "ended before it was done"),
    "kills all": ("os.kill(-1, 9)", {}, "ended before it was done"),
}


@pytest.mark.parametrize("what", GREED)
def test_greed_and_violence_end_with_a_reason(attack, what):
    code, limits, words = GREED[what]
    began = time.monotonic()
    with pytest.raises(EnvironmentFault, match=words) as caught:
        attack(code, **limits)
    assert time.monotonic() - began < 45
    assert len(str(caught.value)) < 4500


def test_a_flood_of_questions(attack, served):
    code = (
        "import urllib.request\n"
        "for number in range(1000):\n"
        "    try:\n"
        "        urllib.request.urlopen(os.environ['UV_DEFAULT_INDEX'] + f'/p{number}/').read()\n"
        "    except OSError:\n"
        "        pass\n"
    )
    with pytest.raises(EnvironmentFault, match="over 100 requests"):
        attack(code, requests=100)
    assert len(served.seen) <= 101


def test_who_asks_and_hangs_up_disturbs_nobody(attack):
    code = (
        "import socket, struct\n"
        "host, port = os.environ['UV_DEFAULT_INDEX'].split('/')[2].split(':')\n"
        "for number in range(12):\n"
        "    there = socket.create_connection((host, int(port)))\n"
        "    there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))\n"
        "    there.sendall(b'GET /simple/evil/ HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')\n"
        "    there.close()\n"
    )
    (found,) = attack(code)
    assert found.name == "evil"


# What a backend may leave, and what is said about it.
RESULTS = {
    "another name": ("NAME = 'other-1.0-py3-none-any.whl'", "declares name other"),
    "another version": ("NAME = 'evil-2.0-py3-none-any.whl'", "2.0"),
    "another platform": ("NAME = 'evil-1.0-cp311-cp311-win_amd64.whl'", "win_amd64"),
    "a build tag that breaks lines": ("NAME = 'evil-1.0-1\\nx==1-py3-none-any.whl'", ""),
    "control characters": ("NAME = 'evil-1.0-1\\x1b[31m-py3-none-any.whl'", ""),
    "a bad lock line": (
        "NAME = 'evil-1.0-1 , built from sha256:" + "0" * 64 + "-py3-none-any.whl'",
        "",
    ),
    "a way out": ("NAME = '../evil-1.0-py3-none-any.whl'", ""),
    "no wheel": ("os.unlink(PATH)\nPATH = None", ""),
    "nothing at all": ("os.unlink(PATH)\nreturn None", ""),
    "two wheels": (
        "import shutil; shutil.copy(PATH, os.path.join(directory, 'more-1.0-py3-none-any.whl'))",
        "",
    ),
    "a folder": ("os.unlink(PATH); os.mkdir(PATH); PATH = None", ""),
    "a link": ("os.unlink(PATH); os.symlink('/etc/passwd', PATH); PATH = None", ""),
    "a device": ("os.unlink(PATH); os.symlink('/dev/zero', PATH); PATH = None", ""),
    "a huge one": (
        "with zipfile.ZipFile(PATH, 'a') as wheel: wheel.writestr('x', os.urandom(3 << 20))",
        "have over 1 MiB",
    ),
    "an empty one": ("open(PATH, 'w').close()", "damaged"),
    "a way out of the bundle": (
        "with zipfile.ZipFile(PATH, 'a') as wheel: wheel.writestr('../../evil.py', 'x')",
        "",
    ),
    "a bomb": (
        "with zipfile.ZipFile(PATH, 'a', zipfile.ZIP_DEFLATED) as wheel:\n"
        "    wheel.writestr('x', bytes(40 << 20))",
        "unpacks to",
    ),
}


@pytest.mark.parametrize("what", RESULTS)
def test_wheels_that_are_not_what_was_asked_for(served, make_stock, resolve, tmp_path, what):
    code, words = RESULTS[what]
    move = (
        "made = os.path.join(directory, NAME)\n"
        "if PATH and PATH != made:\n"
        "    os.rename(PATH, made)\n"
    )
    code = code if "return" in code else f"{code}\n{move}"
    served.add(*sdist("evil", code=code))
    stock = make_stock(**QUICK, built_mb=1, bundle_mb=32)
    try:
        locked = resolve(["evil"], stock)
        text = lock.write(locked, "3.11")
        assert lock.read(text) == locked
        stock.install(locked, tmp_path / "site")
    except EnvironmentFault as error:
        assert words in str(error)
        assert "\x1b" not in str(error)
    else:
        # uv puts some of it right; then it is the package that was wanted, and nothing else.
        assert what in ("two wheels",), locked
    assert not (tmp_path / "evil.py").exists()
    assert not list(Path(tmp_path).rglob("passwd"))
