"""The worker's reading of frames: one honest frame of each type, and every way to spoil it."""

from typing import Any

import pytest

from graders.fields import ProtocolError, clean
from graders.protocol import (
    Ask,
    Error,
    Fault,
    Inbox,
    Loaded,
    Log,
    Ready,
    Result,
    TaskShown,
)
from graders.runner.frames import MAX_CONTENT, MAX_INT, MAX_LOGS, MAX_MESSAGES

SAID = {"role": "user", "content": "q"}
HONEST: dict[str, dict[str, Any]] = {
    "ready": {"proto": 2, "python": "3.11.7"},
    "hello": {"format": "dataset", "tasks": 3, "load_s": 0.5},
    "task": {"id": 1, "task": 2, "messages": [SAID], "error": None},
    "model": {"rid": 0, "id": 1, "role": "policy", "agent": "", "body": {"messages": [SAID]}},
    "result": {
        **{"id": 1, "reward": 0.5, "per_agent": {}, "metrics": {"a": 1}},
        **{"turns": 1, "error": None},
    },
    "fault": {"text": "no"},
    "log": {"level": "info", "text": "hm"},
}


def parse(kind: str, **changes: Any) -> Any:
    frame = {"type": kind, "nonce": "n", "seq": 0, **HONEST.get(kind, {}), **changes}
    gone = [key for key, value in frame.items() if value is ...]
    for key in gone:
        del frame[key]
    return Inbox("n", (0.0, 1.0)).parse(frame)


@pytest.mark.parametrize(
    ("kind", "changes", "expected"),
    [
        ("ready", {}, Ready("3.11.7")),
        ("hello", {}, Loaded("dataset", 3, 0.5)),
        ("hello", {"tasks": None, "load_s": 0}, Loaded("dataset", None, 0.0)),
        ("hello", {"tasks": MAX_INT}, Loaded("dataset", MAX_INT, 0.5)),
        ("task", {}, TaskShown(1, 2, [SAID], None)),
        (
            "task",
            {"messages": [], "error": {"kind": "environment", "text": "e"}},
            TaskShown(1, 2, [], Error("environment", "e")),
        ),
        ("model", {}, Ask(0, 1, "", {"messages": [SAID]})),
        (
            "model",
            {"body": {"messages": [SAID], "max_tokens": 9}},
            Ask(0, 1, "", {"messages": [SAID], "max_tokens": 9}),
        ),
        ("result", {}, Result(1, 0.5, {}, {"a": 1.0}, 1, None)),
        ("result", {"reward": 1, "metrics": {}}, Result(1, 1.0, {}, {}, 1, None)),
        ("result", {"reward": 0}, Result(1, 0.0, {}, {"a": 1.0}, 1, None)),
        (
            "result",
            {"reward": None, "error": {"kind": "model", "text": ""}},
            Result(1, None, {}, {"a": 1.0}, 1, Error("model", "")),
        ),
        ("fault", {"text": "a\0b\ud800c"}, Fault("a\ufffdb\ufffdc")),
        ("log", {}, Log("info", "hm")),
        ("log", {"text": "a\x1b[2J\r\nb\tc"}, Log("info", "a\ufffd[2J\nb\tc")),
        ("fault", {"text": "\x07\x9bm"}, Fault("\ufffd\ufffdm")),
        (
            "result",
            {"reward": None, "error": {"kind": "environment", "text": "\x1b]0;x\x07"}},
            Result(1, None, {}, {"a": 1.0}, 1, Error("environment", "\ufffd]0;x\ufffd")),
        ),
    ],
)
def test_honest_frames(kind: str, changes: dict[str, Any], expected: Any) -> None:
    assert parse(kind, **changes) == expected


@pytest.mark.parametrize("kind", HONEST)
def test_no_key_may_be_missing_or_added(kind: str) -> None:
    for key in (*HONEST[kind], "nonce", "seq", "type"):
        with pytest.raises(ProtocolError, match=f'"{key}" of the .*frame is missing'):
            parse(kind, **{key: ...})
    with pytest.raises(ProtocolError, match=f'"extra" of the {kind} frame does not belong there'):
        parse(kind, extra=None)


MANY = [SAID] * (MAX_MESSAGES + 1)
ERROR = {"kind": "environment", "text": "e"}


SPOILED: list[tuple[str, dict[str, Any], str]] = [
    ("result", {"nonce": "m"}, "nonce.*not this run's"),
    ("result", {"nonce": None}, "nonce.*not text"),
    ("result", {"seq": 1}, "seq.*is not 0"),
    ("result", {"seq": False}, "seq.*not an integer"),
    ("result", {"seq": 0.0}, "seq.*not an integer"),
    ("start", {}, '"type" of the start frame is unknown'),
    ("run", {}, '"type" of the run frame is unknown'),
    ("result", {"type": 1}, "type.*not text"),
    ("ready", {"proto": 1}, "proto.*is not 2"),
    ("ready", {"proto": True}, "proto.*not an integer"),
    ("ready", {"python": "3" * 101}, "python.*more than 100"),
    ("hello", {"format": 3}, "format.*not text"),
    ("hello", {"format": "x" * 33}, "format.*is not one of: reasoning-gym, "),
    ("hello", {"tasks": -1}, "tasks.*is not from 0"),
    ("hello", {"tasks": True}, "tasks.*not an integer"),
    ("hello", {"tasks": 3.0}, "tasks.*not an integer"),
    ("hello", {"tasks": "3"}, "tasks.*not an integer"),
    ("hello", {"load_s": -0.5}, "load_s.*negative"),
    ("hello", {"load_s": None}, "load_s.*not a number"),
    ("task", {"messages": []}, "messages.*does not have 1 to"),
    ("task", {"messages": MANY}, "messages.*does not have 1 to"),
    ("task", {"messages": {}}, "messages.*not an array"),
    ("task", {"messages": ["q"]}, "a message of the task frame is not an object"),
    ("task", {"messages": [{**SAID, "name": "x"}]}, "name.*does not belong"),
    ("task", {"messages": [{"role": "user"}]}, "content.*missing"),
    ("task", {"messages": [{**SAID, "role": "developer"}]}, "role.*is not one of"),
    ("task", {"messages": [{**SAID, "role": 1}]}, "role.*not text"),
    ("task", {"messages": [{**SAID, "content": ["q"]}]}, "content.*not text"),
    ("task", {"messages": [{**SAID, "content": None}]}, "content.*not text"),
    (
        "task",
        {"messages": [{**SAID, "content": "q" * (MAX_CONTENT + 1)}]},
        "content.*more than 1048576",
    ),
    ("task", {"error": {"kind": "model", "text": ""}}, "error.*blames the model"),
    ("model", {"role": "judge"}, "role.*is not one of: policy"),
    ("model", {"rid": -1}, "rid.*is not from 0"),
    ("model", {"rid": 2**31}, "rid.*is not from 0"),
    ("model", {"rid": "0"}, "rid.*not an integer"),
    ("model", {"body": []}, '"body" of the model frame is not an object'),
    ("model", {"body": {}}, "messages.*missing"),
    ("model", {"body": {"messages": []}}, "messages.*does not have 1 to"),
    ("model", {"body": {"messages": [SAID], "model": "x"}}, "model.*does not belong"),
    ("model", {"body": {"messages": [SAID], "max_tokens": 0}}, "max_tokens.*is not from 1"),
    ("model", {"body": {"messages": [SAID], "max_tokens": True}}, "max_tokens.*integer"),
    ("result", {"reward": True}, "reward.*not a number"),
    ("result", {"reward": "1"}, "reward.*not a number"),
    ("result", {"reward": [1]}, "reward.*not a number"),
    ("result", {"reward": 1.0000001}, "reward.*outside 0 to 1"),
    ("result", {"reward": -1}, "reward.*outside 0 to 1"),
    ("result", {"reward": float("inf")}, "reward.*not finite"),
    ("result", {"reward": float("nan")}, "reward.*not finite"),
    ("result", {"reward": None}, "reward.*must be there"),
    ("result", {"error": ERROR}, "reward.*must be there"),
    ("result", {"reward": None, "error": {**ERROR, "kind": "policy"}}, "kind.*is not one of"),
    ("result", {"reward": None, "error": {**ERROR, "more": 1}}, "more.*does not belong"),
    ("result", {"reward": None, "error": "e"}, "error.*is not an object"),
    ("result", {"reward": None, "error": {**ERROR, "text": "e" * 4001}}, "text.*more than"),
    ("result", {"metrics": {"a": True}}, '"a" of "metrics".*not a number'),
    ("result", {"metrics": {"a": None}}, "not a number"),
    ("result", {"metrics": {"a" * 101: 1}}, "metrics.*name of more than 100"),
    ("result", {"metrics": {str(n): 1 for n in range(65)}}, "metrics.*more than 64"),
    ("result", {"metrics": []}, "metrics.*is not an object"),
    ("result", {"turns": -1}, "turns.*is not from 0"),
    ("result", {"turns": True}, "turns.*not an integer"),
    ("result", {"id": 1.0}, "id.*not an integer"),
    ("result", {"id": None}, "id.*not an integer"),
    ("fault", {"text": "x" * 4001}, "text.*more than 4000"),
    ("log", {"level": "fatal"}, "level.*is not one of"),
    ("log", {"text": 5}, "text.*not text"),
]


@pytest.mark.parametrize(("kind", "changes", "words"), SPOILED)
def test_spoiled_frames(kind: str, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        parse(kind, **changes)


def test_frames_are_counted() -> None:
    inbox = Inbox("n", (0.0, 1.0))
    frame = {"type": "log", "nonce": "n", **HONEST["log"]}
    for seq in range(3):
        inbox.parse({**frame, "seq": seq})
    with pytest.raises(ProtocolError, match=r"seq.*is not 3"):
        inbox.parse({**frame, "seq": 2})


def test_logs_are_counted() -> None:
    inbox = Inbox("n", (0.0, 1.0))
    frame = {"type": "log", "nonce": "n", **HONEST["log"]}
    for seq in range(MAX_LOGS):
        inbox.parse({**frame, "seq": seq})
    with pytest.raises(ProtocolError, match="more than 1000 log frames"):
        inbox.parse({**frame, "seq": MAX_LOGS})


def test_clean() -> None:
    assert clean("a\0b\ud83dc\U0001f600\udc00") == "a\ufffdb\ufffdc\U0001f600\ufffd"


def test_negative_zero_is_zero() -> None:
    result = parse("result", reward=-0.0, metrics={"a": -0.0})
    assert str(result.reward) == str(result.metrics["a"]) == "0.0"
