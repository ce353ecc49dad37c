"""The reference model's client against a server that fails in every way we know of."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from graders.errors import GraderError, ModelUnavailable, PromptTooLong
from graders.policy import MAX_ANSWER_BYTES, Endpoint, Policy, Sampler
from tests.graders.scripted import (
    ASK,
    KEY,
    Handler,
    Talk,
    choices,
    completion,
    cut_off,
    dawdle,
    drip,
    hang_up,
    ok,
    policy,
    says,
)


@pytest.fixture
def waits() -> list[float]:
    """How long the policy chose to wait between attempts."""
    return []


@pytest.mark.parametrize(
    "failure",
    [
        *(says(status, {"error": {"message": "later"}}) for status in (408, 409, 425, 429, 500)),
        says(503, b"<html>busy</html>"),
        says(200, b""),
        says(200, b"\xff\xfe not json"),
        says(200, b"[" * 200_000),
        says(200, json.dumps(completion()).encode()[:-20]),
        says(200, gzip.compress(b"{}")[:8], Content_Encoding="gzip"),
        says(200, []),
        says(200, {"error": {"message": "overloaded"}}),
        says(200, {"choices": []}),
        says(200, {"choices": completion()["choices"] * 2}),
        says(200, {"choices": [{"message": {"content": "4"}}]}),
        says(200, {"choices": [{"message": {"content": "4"}, "finish_reason": None}]}),
        says(200, {"choices": [{"message": "4", "finish_reason": "stop"}]}),
        says(200, choices(content=None)),
        says(200, choices(content=4)),
        says(200, choices(content=None, tool_calls=[{"function": {"name": "f"}}])),
        says(200, choices(content=None, tool_calls=5)),
        cut_off,
        hang_up,
        dawdle,
        drip,
    ],
)
def test_what_may_pass_is_tried_again(server, waits, failure):
    server.play(failure, failure, ok())
    with policy(server, waits, timeout_s=0.3) as model:
        assert model.chat(ASK, seed=1)["choices"][0]["message"]["content"] == "4"
    assert len(server.seen) == 3
    assert waits == [0.5, 1.0]


def test_attempts_are_bounded_and_waits_grow_to_a_limit(server, waits):
    server.play(says(500, {"error": {"message": f"no GPU for {KEY}"}}))
    with policy(server, waits, retries=8) as model, pytest.raises(ModelUnavailable) as caught:
        model.chat(ASK, seed=1)
    assert len(server.seen) == 9
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert str(caught.value) == (
        "The model m gave no usable answer in 9 attempts. "
        "The last one: status 500: no GPU for [API key]"
    )


def test_waits_are_drawn_from_zero_to_the_backoff(server):
    drawn: list[tuple[float, float]] = []

    def jitter(low: float, high: float) -> float:
        drawn.append((low, high))
        return low

    server.play(says(500, {}), says(500, {}), ok())
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    endpoint = Endpoint(server.base_url, "m")
    with Talk(Policy(endpoint, Sampler(), sleep=sleep, jitter=jitter)) as model:
        model.chat(ASK, seed=1)
    assert (drawn, slept) == ([(0, 0.5), (0, 1)], [0, 0])


def test_retry_after_is_kept_but_not_for_ever(server, waits):
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    busy = [says(429, {}, Retry_After=value) for value in ("7", "86400", date, "soon", "-5")]
    server.play(*busy, ok())
    with policy(server, waits, retries=5) as model:
        model.chat(ASK, seed=1)
    assert waits[:2] == [7.5, 61]
    assert 2 + 15 < waits[2] <= 2 + 20
    assert waits[3:] == [4, 8]


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 422])
def test_a_refusal_is_final(server, waits, status):
    server.play(says(status, {"error": {"message": f"bad\n key {KEY}" + "!" * 9999}}))
    with policy(server, waits) as model, pytest.raises(ModelUnavailable) as caught:
        model.chat(ASK, seed=1)
    assert len(server.seen) == 1
    assert waits == []
    assert KEY not in str(caught.value)
    assert f"refused the request: status {status}: bad key [API key]!!" in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (400, {"error": {"code": 400, "type": "exceed_context_size_error", "message": "x"}}),
        (400, {"error": {"code": "context_length_exceeded", "message": "x"}}),
        (400, {"object": "error", "message": "This model's maximum context length is 4096 tokens"}),
        (400, {"error": "the request exceeds the available context size"}),
        (413, b"<html>too large</html>"),
    ],
)
def test_a_prompt_too_long_is_told_apart(server, waits, status, answer):
    server.play(says(status, answer))
    with policy(server, waits) as model, pytest.raises(PromptTooLong, match="too long for m"):
        model.chat(ASK, seed=1)
    assert len(server.seen) == 1
    assert not issubclass(PromptTooLong, ModelUnavailable)
    assert issubclass(PromptTooLong, GraderError)


def test_an_endless_answer_is_not_read_to_its_end(server, waits):
    written = []

    def endless(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(100 * MAX_ANSWER_BYTES))
        handler.end_headers()
        handler.close_connection = True
        try:
            for _ in range(100):
                written.append(handler.wfile.write(b" " * MAX_ANSWER_BYTES))
        except OSError:
            pass

    server.play(endless, ok())
    with policy(server, waits) as model:
        model.chat(ASK, seed=1)
    assert len(written) < 10
