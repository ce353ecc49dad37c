"""The reference model's client: what is asked, what comes back, and how many at once."""

import asyncio
import gc
import json
import threading
import time
from base64 import b64encode

import pytest

from graders.errors import EnvironmentFault, ModelUnavailable
from graders.policy import Endpoint, Policy, Sampler
from tests.graders.scripted import (
    ASK,
    KEY,
    Handler,
    Server,
    Talk,
    completion,
    dawdle,
    hang_up,
    ok,
    policy,
    says,
)


@pytest.fixture
def waits() -> list[float]:
    """How long the policy chose to wait between attempts."""
    return []


def test_an_answer_comes_back_in_known_shape(server, waits):
    with policy(server, waits) as model:
        assert model.chat(ASK, seed=7) == completion()
    path, headers, _ = server.seen[0]
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert waits == []


def test_the_sampler_decides(server, waits):
    asked = ASK | {
        "model": "gpt-x",
        "temperature": 2.0,
        "top_p": 0.1,
        "n": 5,
        "stream": True,
        "logit_bias": {"1": 100},
        "max_tokens": 9999,
        "stop": ["\n"],
        "tools": [],
        "tool_choice": "auto",
    }
    with policy(server, waits, Sampler(0.5, 0.9, 64)) as model:
        model.chat(asked, seed=7)
        model.chat(ASK | {"max_tokens": 8}, seed=8)
        model.chat(ASK, seed=9)
    first, second, third = (body for _, _, body in server.seen)
    assert first == ASK | {
        "model": "m",
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 64,
        "seed": 7,
        "n": 1,
        "stream": False,
        "stop": ["\n"],
    }
    assert (second["max_tokens"], second["seed"], third["max_tokens"]) == (8, 8, 64)


def test_no_key_no_header(server, waits):
    with policy(server, waits, api_key="") as model:
        model.chat(ASK, seed=1)
    assert "Authorization" not in server.seen[0][1]


def test_a_unix_socket_is_a_server_too(tmp_path, waits):
    server = Server(tmp_path / "model.sock")
    try:
        server.play(hang_up, ok())
        with policy(server, waits) as model:
            assert model.chat(ASK, seed=1) == completion()
    finally:
        server.stop()
    assert [path for path, _, _ in server.seen] == ["/v1/chat/completions"] * 2


def test_tool_calls_come_through(server, waits):
    call = {"id": "t1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}
    server.play(ok(message={"content": None, "tool_calls": [call]}))
    with policy(server, waits) as model:
        message = model.chat(ASK, seed=1)["choices"][0]["message"]
    assert message == {"role": "assistant", "content": None, "tool_calls": [call]}


def test_a_model_cut_off_in_thought_said_nothing(server, waits):
    server.play(ok(message={"content": None, "reasoning_content": "hm"}))
    with policy(server, waits) as model:
        message = model.chat(ASK, seed=1)["choices"][0]["message"]
    assert message == {"role": "assistant", "content": "", "reasoning_content": "hm"}


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        {"prompt_tokens": 5},
        {"prompt_tokens": 5, "completion_tokens": -1},
        "5",
        {"prompt_tokens": True, "completion_tokens": 1},
    ],
)
def test_tokens_that_were_not_counted_are_not_guessed(server, waits, usage):
    server.play(ok(usage=usage))
    with policy(server, waits) as model:
        assert model.chat(ASK, seed=1)["usage"] is None


def test_half_a_surrogate_pair_harms_nobody(server, waits):
    server.play(says(200, json.dumps(completion(message={"content": "a\ud800b"})).encode()))
    with policy(server, waits) as model:
        answer = model.chat({"messages": [{"role": "user", "content": "\udfff!"}]}, seed=1)
    assert answer["choices"][0]["message"]["content"] == "a?b"
    assert server.seen[0][2]["messages"][0]["content"] == "?!"


def test_no_more_requests_at_once_than_allowed(server, waits):
    lock, now, most = threading.Lock(), [0], [0]

    def busy(handler: Handler) -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.05)
        with lock:
            now[0] -= 1
        ok()(handler)

    server.play(busy)
    with policy(server, waits, concurrency=3) as model:
        assert model.chats(ASK, range(24)) == [completion()] * 24
    assert most == [3]
    assert sorted(body["seed"] for _, _, body in server.seen) == list(range(24))


def test_an_open_connection_is_used_again(server, waits):
    peers = set()

    def note(handler: Handler) -> None:
        peers.add(handler.client_address)
        ok()(handler)

    server.play(note)
    with policy(server, waits, concurrency=8) as model:
        for seed in range(5):
            model.chat(ASK, seed=seed)
    assert len(peers) == 1


def test_waiting_for_a_slot_is_no_timeout(server, waits):
    def slow(handler: Handler) -> None:
        time.sleep(0.2)
        ok()(handler)

    server.play(slow)
    with policy(server, waits, concurrency=1, timeout_s=0.6) as model:
        assert model.chats(ASK, range(6)) == [completion()] * 6
    assert waits == []


def test_waiting_to_try_again_takes_no_slot(server):
    """One call waits between attempts; the only slot is free for another all that time."""
    waiting, release = asyncio.Event(), asyncio.Event()

    async def sleep(_: float) -> None:
        waiting.set()
        await release.wait()

    async def ask() -> None:
        slow = asyncio.create_task(model.policy.chat(ASK, 1))
        await waiting.wait()
        assert await model.policy.chat(ASK, seed=2) == completion()
        release.set()
        assert await slow == completion()

    server.play(says(500, {}), ok())
    endpoint = Endpoint(server.base_url, "m", concurrency=1)
    with Talk(Policy(endpoint, Sampler(), sleep=sleep)) as model:
        model.run(asyncio.wait_for(ask(), 10))


@pytest.mark.parametrize("failure", [dawdle, says(429, {}, Retry_After="60")])
def test_cancelled_a_call_ends_at_once_and_its_slot_is_free(server, failure):
    """While the server is answering, and while it waits between attempts."""

    async def ask() -> None:
        slow = asyncio.create_task(model.policy.chat(ASK, 1))
        while not server.seen:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        slow.cancel()
        began = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await slow
        assert await model.policy.chat(ASK, seed=2) == completion()
        assert time.monotonic() - began < 0.4

    server.play(failure, ok())
    with Talk(Policy(Endpoint(server.base_url, "m", concurrency=1), Sampler())) as model:
        model.run(asyncio.wait_for(ask(), 10))


def test_a_connection_that_the_server_closed_meanwhile_is_no_failure(server, waits):
    peers = []

    def once(handler: Handler) -> None:
        peers.append(handler.client_address)
        ok()(handler)
        handler.close_connection = True

    server.play(once)
    with policy(server, waits) as model:
        for seed in range(5):
            model.chat(ASK, seed)
            time.sleep(0.05)
    assert waits == []
    assert len(set(peers)) == 5


def test_left_it_answers_nobody(server, waits):
    with policy(server, waits) as model:
        model.chat(ASK, seed=1)
    with pytest.raises(ModelUnavailable, match="closed"):
        asyncio.run(model.policy.chat(ASK, seed=1))


def test_nothing_is_left_open(server, waits, recwarn):
    with policy(server, waits, concurrency=3) as model:
        model.chats(ASK, range(6))
    gc.collect()
    assert not [str(one.message) for one in recwarn if one.category is ResourceWarning]


def test_the_proxy_that_the_surroundings_name_is_asked(server, waits, monkeypatch):
    """With no name of its own looked up, so the host need not exist."""
    proxy = server.base_url.removesuffix("/v1").replace("//", "//hub:secret@")
    monkeypatch.setenv("http_proxy", proxy)
    with policy(server, waits, base_url="http://model.invalid/v1") as model:
        assert model.chat(ASK, seed=1) == completion()
    path, headers, _ = server.seen[0]
    assert path == "http://model.invalid/v1/chat/completions"
    assert headers["Proxy-Authorization"] == f"Basic {b64encode(b'hub:secret').decode()}"
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with policy(server, waits) as model:
        model.chat(ASK, seed=1)
    assert server.seen[1][0] == "/v1/chat/completions"


def test_a_proxy_that_cannot_be_used_is_named_without_its_password(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "socks5://hub:secret@127.0.0.1:1080")
    with pytest.raises(ModelUnavailable, match="ALL_PROXY") as caught:
        Policy(Endpoint("http://model.invalid/v1", "m"), Sampler())
    assert "secret" not in str(caught.value)


def test_nobody_there(server, waits):
    server.stop()
    with policy(server, waits, retries=1) as model, pytest.raises(ModelUnavailable) as caught:
        model.chat(ASK, seed=1)
    assert "in 2 attempts" in str(caught.value)
    assert "ClientConnectorError" in str(caught.value)
    assert waits == [0.5]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": []},
        {"messages": "hello"},
        ASK | {"max_tokens": 0},
        ASK | {"max_tokens": "9"},
        ASK | {"max_tokens": True},
    ],
)
def test_a_body_that_is_no_request_is_the_environments_fault(server, waits, body):
    with policy(server, waits) as model, pytest.raises(EnvironmentFault):
        model.chat(body, seed=1)
    assert server.seen == []


@pytest.mark.parametrize(
    "base_url",
    ["", "localhost:8000/v1", "ftp://host/v1", "unix:model.sock", "http://", "http://[::/"],
)
def test_a_base_url_that_cannot_be_used(base_url):
    with pytest.raises(ModelUnavailable, match="base_url"):
        Policy(Endpoint(base_url, "m"), Sampler())


def test_a_key_is_never_shown():
    assert KEY not in repr(Endpoint("http://host/v1", "m", KEY))
    with pytest.raises(ModelUnavailable) as caught:
        Policy(Endpoint("http://host/v1", "m", f"{KEY}\nX: y"), Sampler())
    assert KEY not in str(caught.value)
