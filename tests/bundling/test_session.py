"""A builder that lies: what the worker takes from it, frame by frame."""

import time
from datetime import UTC, datetime

import pytest

from graders.bundling import driven
from graders.bundling.relay import Relay
from graders.bundling.resolving import resolve
from graders.bundling.session import BuildSession
from graders.errors import EnvironmentFault, PlatformFault
from graders.sandbox.bubblewrap import Bubblewrap
from tests.bundling.packages import sdist, wheel

# Takes the builder's place: `say` sends a frame as the builder would.
LIAR = """
import sys; sys.path.insert(0, "/opt")
import base64, json, os, struct, time
from practicum_runner.frames import FrameReader, encode
reader = FrameReader(lambda size: os.read(0, size))
start = reader.read()
nonce, seq = start["nonce"], 0
def raw(data):
    while data:
        data = data[os.write(1, data):]
def say(kind, **keys):
    global seq
    raw(encode({"type": kind, "nonce": nonce, "seq": seq, **keys}))
    seq += 1
def ready():
    say("ready", proto=1, python="3.11.0")
"""
STEM = "demo==1.0 --hash=sha256:"
NOW = datetime.now(UTC)


@pytest.fixture
def sandbox(state_dir):
    """The frames are the same under both drivers; one will do."""
    return Bubblewrap(state_dir)


@pytest.fixture
def lie(served, make_stock, sandbox, monkeypatch):
    """Resolves `demo` with a builder that runs `code`."""

    def run(code: str, stock=None, **limits: float):
        argv = ("python3", "-u", "-c", LIAR + code)
        monkeypatch.setattr(driven, "ARGV", argv)
        bounds = {"seconds": 20} | limits
        return resolve(
            ["demo"], sandbox=sandbox, stock=stock or make_stock(**bounds), as_of=NOW, job="lie"
        )

    return run


LIES = {
    "not ready": ("say('lock', text='')", "out of turn"),
    "another protocol": ("say('ready', proto=2, python='3.11')", '"proto"'),
    "an old protocol": ("say('ready', proto=0, python='3.11')", '"proto"'),
    "more keys": ("say('ready', proto=1, python='3.11', more=1)", "does not belong"),
    "no type": ("raw(encode({'nonce': nonce, 'seq': 0}))", "is missing"),
    "another nonce": ("nonce = '0' * 32; ready()", "is not this build's"),
    "another number": ("seq = 7; ready()", '"seq"'),
    "twice": ("ready(); ready()", "out of turn"),
    "an unknown type": ("ready(); say('\\x1b[31m')", "out of turn"),
    "a frame too large": ("raw(struct.pack('>I', 1 << 30))", "over the limit"),
    "no JSON": ("raw(struct.pack('>I', 4) + b'nope')", "not JSON"),
    "no object": ("raw(struct.pack('>I', 2) + b'[]')", "not an object"),
    "a lock that is none": ("ready(); say('lock', text='demo')", "cannot be locked"),
    "a lock that is a number": ("ready(); say('lock', text=3)", "is not text"),
    "a huge lock": ("ready(); say('lock', text='x' * (5 << 20))", "characters"),
    "a lock of options": ("ready(); say('lock', text='--index-url http://x/')", "be locked"),
    "a package twice": (f"ready(); say('lock', text='{STEM}{'0' * 64}\\n' * 2)", "2 times"),
    "a lock of bombs": (
        f"ready(); say('lock', text='\\n'.join('p%d==1 --hash=sha256:{'0' * 64}' % n "
        "for n in range(9000)))",
        "are 9000 packages",
    ),
    "files nobody listed": (f"ready(); say('lock', text='{STEM}{'0' * 64}')", "neither a wheel"),
    "a question that is none": ("ready(); say('fetch', rid=-1, path='/')", '"rid"'),
    "a question too long": ("ready(); say('fetch', rid=1, path='x' * 1001)", '"path"'),
    "questions for ever": (
        "ready()\nwhile True: say('fetch', rid=1, path='/simple/x/')",
        "over 50 requests",
    ),
    "text for ever": ("ready()\nwhile True: raw(encode({'x': 'y' * 4000000}))", "is missing"),
    "a failure too long": ("ready(); say('failed', text='x' * 4001)", "characters"),
    "a wheel before its time": ("ready(); say('wheel', filename='x', size=1)", "out of turn"),
    "gone": ("ready(); sys.exit(3)", r"exit code 3"),
    "gone within a frame": ("ready(); raw(b'\\0\\0\\1\\0half'); sys.exit(4)", r"exit code 4"),
}


@pytest.mark.parametrize("what", LIES)
def test_lies_end_the_build(lie, what):
    code, words = LIES[what]
    began = time.monotonic()
    with pytest.raises(EnvironmentFault, match=words) as caught:
        lie(code, requests=50)
    assert time.monotonic() - began < 10
    assert "\x1b" not in str(caught.value)


def test_a_builder_that_never_was_ready_is_the_platforms_fault(lie):
    for code in ("sys.exit(1)", "raw(b'\\0\\0'); os._exit(1)"):
        with pytest.raises(PlatformFault, match="build sandbox failed"):
            lie(code)


def test_a_builder_that_says_nothing_is_out_of_time(lie):
    with pytest.raises(EnvironmentFault, match="more than 2 s"):
        lie("ready(); time.sleep(60)", seconds=2)


def test_a_forged_failure_is_no_more_than_a_failure(lie):
    with pytest.raises(EnvironmentFault, match="no compiler"):
        lie("ready(); say('failed', text='The build backend returned an error')")


# Locks the source archive, then answers the question for its wheel.
SELLER = """
ready()
say("lock", text="demo==1.0 --hash=sha256:HASH")
while reader.read()["type"] != "build":
    pass
"""
NAME = "demo-1.0-py3-none-any.whl"
SALES = {
    "a piece too many": (f"say('wheel', filename='{NAME}', size=3); say('piece', data='YWJjZA==')",
                         "another size"),
    "a piece of nothing": (f"say('wheel', filename='{NAME}', size=3); say('piece', data='')",
                           "another size"),
    "no base64": (f"say('wheel', filename='{NAME}', size=3); say('piece', data='\\x00!')",
                  "base64"),
    "a wheel without end": (f"say('wheel', filename='{NAME}', size=1 << 40)", "over 1 MiB"),
    "a size below nothing": (f"say('wheel', filename='{NAME}', size=-1)", '"size"'),
    "a name too long": ("say('wheel', filename='x' * 300, size=1)", '"filename"'),
    "another package": ("say('wheel', filename='evil-1.0-py3-none-any.whl', size=0)",
                        "which is not demo 1.0"),
    "control characters": ("say('wheel', filename='demo-1.0-1\\x1b-py3-none-any.whl', size=0)",
                           "which is not demo 1.0"),
    "a fault within": (f"say('wheel', filename='{NAME}', size=3); say('failed', text='no')",
                       "cannot be installed"),
}  # fmt: skip


@pytest.mark.parametrize("what", SALES)
def test_wheels_that_are_a_lie(lie, served, what):
    code, words = SALES[what]
    sha256 = served.add(*sdist("demo"))
    with pytest.raises(EnvironmentFault, match=words):
        lie(SELLER.replace("HASH", sha256) + code, built_mb=1)


def test_a_forged_lock_gets_only_what_the_index_lists_of_that_package(lie, served):
    """A digest of another package's file is not taken for this one."""
    other = served.add(*wheel("other"))
    served.add(*wheel("demo"))
    with pytest.raises(EnvironmentFault, match="neither a wheel"):
        lie(f"ready(); say('lock', text='demo==1.0 --hash=sha256:{other}')")
    newer = served.add(*wheel("demo", "2.0"))
    with pytest.raises(EnvironmentFault, match="neither a wheel"):
        lie(f"ready(); say('lock', text='demo==1.0 --hash=sha256:{newer}')")


def test_a_relay_that_breaks_is_the_platforms_fault(make_stock, sandbox, monkeypatch):
    monkeypatch.setattr(Relay, "get", lambda self, path: 1 / 0)
    with pytest.raises(PlatformFault, match="relay of a build failed: ZeroDivision"):
        resolve(["demo"], sandbox=sandbox, stock=make_stock(), as_of=NOW, job="broken")


def test_an_error_inside_the_builder_ends_the_build_at_once(make_stock, sandbox):
    """Not by its time limit: nobody waits for a thread that is dead."""
    stock = make_stock(seconds=60)
    relay = Relay(stock.index, stock.store)
    began = time.monotonic()
    with (
        pytest.raises(EnvironmentFault, match=r"(?s)exit code 1\).*KeyError: 'platform'"),
        BuildSession(sandbox, relay, stock.limits, as_of=NOW, job="broken") as running,
    ):
        running._send("resolve", requirements=[])
        running._next({"lock": lambda fields: None})
    assert time.monotonic() - began < 10


def test_a_driver_that_cannot_start_is_the_platforms_fault(make_stock, sandbox, monkeypatch):
    monkeypatch.setattr(driven, "BUILDER", driven.BUILDER / "nowhere")
    with pytest.raises(PlatformFault, match="could not be started"):
        resolve(["demo"], sandbox=sandbox, stock=make_stock(), as_of=NOW, job="none")
