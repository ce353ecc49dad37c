"""The measurement of rollouts against other libraries: its model, and all of it in small."""

import json
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
from django.conf import settings

from bench.instant import MODEL, completion
from bench.model import Model, running
from graders.policy import Endpoint, Policy, Sampler
from tests.graders.scripted import Talk

ASK = {"messages": [{"role": "user", "content": "6 * 7"}]}
SMALL = ["--rounds", "1", "--rollouts", "40", "--ways", "bubblewrap", "verifiers"]


@pytest.fixture
def model() -> Iterator[Model]:
    with running("42") as made:
        yield made


def test_the_model_answers_our_client_and_counts(model: Model) -> None:
    with Talk(Policy(Endpoint(model.url, MODEL), Sampler())) as policy:
        assert policy.chats(ASK, range(50)) == [completion("42")] * 50
    seen = model.look()
    assert seen["asked"] == 50
    assert 0 < seen["cpu"] < 5
    assert model.look()["asked"] == 0


def test_a_request_may_come_in_pieces_and_two_at_once(model: Model) -> None:
    request = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\ncontent-length: 4\r\n\r\n{}{}"
    connection = HTTPConnection("127.0.0.1", urlsplit(model.url).port or 0)
    connection.connect()
    for piece in (request[:30], request[30:-2], request[-2:] + request):
        connection.sock.sendall(piece)
    said = b""
    while said.count(b"HTTP/1.1 200 OK") < 2 or not said.endswith(b"}}"):
        said += connection.sock.recv(1 << 16)
    connection.close()
    assert model.look()["asked"] == 2


def test_its_limit_is_found(model: Model) -> None:
    assert model.ceiling(500, 8) > 500
    assert model.look()["asked"] == 500


@pytest.mark.index
def test_every_way_is_measured() -> None:
    command = [sys.executable, "-m", "bench.rollouts", "--json", *SMALL]
    done = subprocess.run(
        command, cwd=settings.BASE_DIR, capture_output=True, text=True, check=False
    )
    assert not done.returncode, done.stderr
    report = json.loads(done.stdout)
    assert set(report["ways"]) == {"bubblewrap", "verifiers"}
    for way in report["ways"].values():
        assert way["rate"]["median"] > 0
        assert all(seconds >= 0 for seconds in way["parts"].values())
        assert all(seconds > 0 for seconds in [*way["spent"].values(), *way["shares"].values()])
    assert set(report["ways"]["bubblewrap"]["spent"]) == {"own", "runner", "server"}
    assert report["ways"]["bubblewrap"]["to"]["verifiers"]["steady"] > 0
