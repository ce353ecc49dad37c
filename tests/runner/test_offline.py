"""What tries the network is told that there is none, and what to do."""

import socket

import pytest

from graders.errors import EnvironmentFault
from graders.runner.faults import OFFLINE, describe
from graders.sandbox.base import Limits
from graders.session import Launch, Request, Session
from tests.runner.bench import Chat
from tests.sandbox.conftest import sandbox, state_dir  # noqa: F401 - fixtures

# Each is what an environment may do; `held` is imported in a real sandbox.
TRIES = {
    "urllib": "urllib.request.urlopen('https://example.org/words.txt')",
    "http.client": "http.client.HTTPSConnection('example.org', timeout=5).request('GET', '/')",
    "an address": "socket.create_connection(('93.184.216.34', 443), 5)",
    "an address of IPv6": "socket.create_connection(('2606:4700::1111', 443), 5)",
    "a datagram": (
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('1.1.1.1', 53))"
    ),
    "told otherwise": (
        "\n    try: urllib.request.urlopen('http://example.org')"
        "\n    except OSError: raise RuntimeError('no words') from None"
    ),
    "in a group": (
        "\n    try: urllib.request.urlopen('http://example.org')"
        "\n    except OSError as error: raise ExceptionGroup('both', [KeyError(1), error])"
    ),
}
CODE = """
import http.client, socket, urllib.request

def fetch():
    {how}

class Env:
    def __len__(self):
        return 1
    def __getitem__(self, at):
        return {{"question": "?"}}
    def score_answer(self, answer, entry):
        fetch()

def at_load():
    fetch()

def at_score():
    return Env()
"""


@pytest.fixture
def launch(tmp_path):
    def run(how: str, entry: str) -> Launch:
        bundle = tmp_path / "bundle"
        bundle.mkdir(mode=0o755)
        (bundle / "held.py").write_text(CODE.format(how=how))
        return Launch(
            bundle=bundle,
            entry=f"held:{entry}",
            format=None,
            args={},
            paths=("/env",),
            max_turns=1,
            reward_range=(0.0, 1.0),
            limits=Limits(seconds=60),
            concurrency=1,
            job="offline",
        )

    return run


@pytest.mark.parametrize("how", TRIES)
def test_at_load(sandbox, launch, how):  # noqa: F811 - the fixture
    with (
        pytest.raises(EnvironmentFault) as told,
        Session(sandbox, launch(TRIES[how], "at_load")),
    ):
        pass
    first, second, *places = str(told.value).splitlines()
    assert second == OFFLINE
    assert first != OFFLINE
    assert any("held.py, line" in place for place in places)


def test_in_a_rollout_it_is_the_environments_error(sandbox, launch):  # noqa: F811
    results = []
    with Session(sandbox, launch(TRIES["urllib"], "at_score"), Chat(lambda *_: "x")) as session:
        session.run([Request(0, 0, 1)], results.append)
    (result,) = results
    assert (result.reward, result.error_kind) == (None, "environment")
    assert OFFLINE in result.error_text


class OfflineModeIsEnabled(ConnectionError):
    """As the hub of data sets calls it."""


class LocalEntryNotFoundError(FileNotFoundError):
    """As there."""


@pytest.mark.parametrize(
    "error",
    [
        OfflineModeIsEnabled("cannot reach it"),
        LocalEntryNotFoundError("cannot find it"),
        socket.gaierror(-3, "Temporary failure in name resolution"),
        OSError(101, "Network is unreachable"),
        ConnectionError("Couldn't reach 'someone/sums' on the Hub (ConnectError)"),
        LookupError("Resource punkt not found.\n  Please use the NLTK Downloader to obtain it"),
    ],
)
def test_what_libraries_raise(error):
    assert OFFLINE in describe(error, [])
    outer = ValueError("no data")
    outer.__context__ = error
    assert describe(outer, []) == f"ValueError: no data\n{OFFLINE}"


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(111, "Connection refused"),  # of a server on its own loopback
        ConnectionResetError(104, "Connection reset by peer"),
        TimeoutError("timed out"),
        FileNotFoundError(2, "No such file", "words.txt"),
        KeyError("words"),
    ],
)
def test_what_has_nothing_to_do_with_it(error):
    assert OFFLINE not in describe(error, [])


def test_a_chain_that_bites_its_tail_comes_to_an_end():
    one, other = ValueError("one"), KeyError("other")
    one.__context__, other.__context__ = other, one
    assert describe(one, []) == "ValueError: one"
