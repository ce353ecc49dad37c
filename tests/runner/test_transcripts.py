"""What the worker keeps of a rollout with tools, or with several seats."""

from typing import Any

import pytest

from graders.errors import EnvironmentFault
from graders.flight import TRANSCRIPT_LIMIT
from graders.session import Request, RolloutResult
from tests.runner.bench import Bench, Chat, completion
from tests.runner.test_requests import ANSWER, CALL, CALLING, TOOL

HEAD = """
def user(text): return {"role": "user", "content": text}
def said(text): return {"role": "assistant", "content": text}
def ask(rid, agent, messages, **keys):
    body = {"messages": messages, **keys}
    send("model", rid=rid, id=1, role="policy", agent=agent, body=body)
    reply = reader.read()
    return reply["body"]["choices"][0]["message"]
"""


def played(bench: Bench, script: str, chat: Any) -> RolloutResult:
    bench.scripted(HEAD + script)
    [result] = bench.run(chat, [Request(0, 0, 0)])
    return result


def test_each_seat_has_a_conversation_of_its_own(bench: Bench) -> None:
    script = """
ask(0, "white", [user("w1")])
ask(1, "black", [user("b1")])
ask(2, "white", [user("w1"), said("0"), user("w2")])
ask(3, "black", [user("b2")])
result(1, turns=4, per_agent={"white": 1.0, "black": -1.0})
"""
    replies = iter("0123")
    result = played(bench, script, Chat(lambda *_: next(replies)))
    assert result.per_agent == {"white": 1.0, "black": -1.0}
    assert [(one["agent"], one["content"]) for one in result.messages] == [
        *[("white", "w1"), ("white", "0"), ("black", "b1"), ("black", "1")],
        *[("white", "w2"), ("white", "2"), ("black", "b2"), ("black", "3")],
    ]
    replaced = [one["content"] for one in result.messages if "replaces_from" in one]
    assert replaced == ["b2"]
    assert (result.tokens_in, result.tokens_out) == (40, 20)


def test_calls_and_the_tools_offered_are_kept(bench: Bench) -> None:
    other = {**TOOL, "function": {"name": "move"}}
    script = f"""
call = ask(0, "", [user("q")], tools=[{TOOL!r}])
assert call == {CALLING!r}, call
ask(1, "", [user("q"), call, {ANSWER!r}], tools=[{TOOL!r}])
ask(2, "", [user("r")], tools=[{other!r}])
result(1, turns=3)
"""
    calls = [("c1", "look", '{"x": 1}')]
    replies = iter([completion("", "tool_calls", tool_calls=calls), "a rock", "done"])
    chat = Chat(lambda *_: next(replies))
    result = played(bench, script, chat)
    offered = [one["tools"] for one in result.messages if "tools" in one]
    assert offered == [[TOOL], [other]]
    [calling] = [one for one in result.messages if "tool_calls" in one]
    assert (calling["tool_calls"], calling["finish_reason"]) == ([CALL], "tool_calls")
    assert [one["tool_call_id"] for one in result.messages if one["role"] == "tool"] == ["c1"]
    assert [body.get("tools") for body, _ in chat.asked] == [[TOOL], [TOOL], [other]]
    assert "agent" not in result.messages[0]


@pytest.mark.parametrize(
    "call",
    [
        {"id": 5, "function": {"name": "x", "arguments": "{}"}},
        {"id": "c", "function": {"name": "x"}},
        {"id": "c", "function": {"name": "x" * 101, "arguments": "{}"}},
        {"id": "c", "function": None},
        "x",
    ],
    ids=str,
)
def test_a_reply_with_a_broken_call_is_the_models_failure(bench: Bench, call: Any) -> None:
    message = {"role": "assistant", "content": "", "tool_calls": [call]}
    chat = Chat(lambda *_: {"choices": [{"message": message, "finish_reason": "stop"}]})
    script = "error = {'kind': 'model', 'text': ''}\nmodel(1); reader.read()\n"
    bench.scripted(script + "result(1, reward=None, error=error)")
    [result] = bench.run(chat, [Request(0, 0, 0)])
    assert result.error_kind == "model"


def test_tools_count_towards_the_length_of_a_transcript(bench: Bench) -> None:
    size = 200_000
    turns = TRANSCRIPT_LIMIT // size + 2
    script = f"""
def tools(n):
    told = {{"name": str(n), "description": "x" * {size}}}
    return [{{"type": "function", "function": told}}]
for n in range({turns}):
    ask(n, "", [user("q")], tools=tools(n))
"""
    bench.scripted(HEAD + script)
    [result] = bench.run(Chat(lambda *_: "x"), [Request(0, 0, 0)], max_turns=turns)
    assert result.error_kind == "environment"
    assert "characters together" in result.error_text


def test_per_agent_rewards_are_checked(bench: Bench) -> None:
    bench.scripted("result(1, per_agent={str(n): 0.0 for n in range(65)})")
    with pytest.raises(EnvironmentFault, match=r"per_agent.*more than 64"):
        bench.run(Chat(lambda *_: "x"), [Request(0, 0, 0)])
