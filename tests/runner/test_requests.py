"""Requests to the model: what an environment may send, how the runner and the worker read it."""

from typing import Any

import pytest

from graders.fields import ProtocolError
from graders.runner.faults import BadEnvironment
from graders.runner.frames import MAX_CALLS, MAX_CONTENT, MAX_SCHEMA, MAX_TOOLS
from graders.runner.requests import message, request
from tests.runner.test_protocol import SAID, parse

TOOL = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "Look at a square.",
        "parameters": {"type": "object", "properties": {"x": {"type": "integer"}}},
    },
}
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"x": 1}'}}
CALLING = {"role": "assistant", "content": "", "tool_calls": [CALL]}
ANSWER = {"role": "tool", "content": "a rock", "tool_call_id": "c1", "name": "look"}
NAMED = {"type": "function", "function": {"name": "look"}}
WHOLE = {
    "messages": [SAID, CALLING, ANSWER],
    "tools": [TOOL],
    "tool_choice": "auto",
    "stop": ["END"],
    "max_tokens": 9,
}


def test_a_whole_request_passes_both_sides_unchanged() -> None:
    assert request(WHOLE) == WHOLE
    assert parse("model", body=WHOLE).body == WHOLE
    named = {**WHOLE, "tool_choice": NAMED}
    assert parse("model", body=request(named)).body == named


def test_what_the_sampler_decides_is_dropped() -> None:
    more = {"model": "x", "temperature": 2, "n": 4, "logprobs": True, "extra_body": {}}
    assert request({**WHOLE, **more}) == WHOLE
    assert request({"messages": [SAID], "tools": [], "stop": None}) == {"messages": [SAID]}


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ({"role": "user", "content": [{"type": "text", "text": "a"}, "b"]}, "ab"),
        ({**CALLING, "content": None}, ""),
        ({"role": "system", "content": "s", "name": "x", "cache": 1}, "s"),
    ],
)
def test_contents_become_text(given: dict[str, Any], taken: str) -> None:
    assert message(given)["content"] == taken
    assert "name" not in message(given)


def test_arguments_become_text() -> None:
    call = {"id": 5, "function": {"name": "look", "arguments": {"x": 1}}}
    made = message({"role": "assistant", "content": "", "tool_calls": [call]})["tool_calls"]
    assert made == [{**CALL, "id": "5"}]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "no conversation"),
        ({"messages": "hi"}, "no conversation"),
        ({"messages": []}, "no conversation"),
        ({"messages": [SAID] * 2000}, "more than 1024 messages"),
        ({"messages": ["hi"]}, "not a message"),
        ({"messages": [{"role": "user", "content": None}]}, "content that is text"),
        ({"messages": [{**SAID, "content": "x" * (MAX_CONTENT + 1)}]}, "Shorten it"),
        ({"messages": [{**SAID, "content": [{"type": "image_url"}]}]}, "read text alone"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "needs a tool_call_id"),
        ({"messages": [{**CALLING, "tool_calls": [{}]}]}, "no tool call"),
        ({"messages": [{**CALLING, "tool_calls": [CALL] * (MAX_CALLS + 1)}]}, "more than"),
        ({**WHOLE, "tools": [{"type": "function"}]}, "no tool: it needs a function"),
        ({**WHOLE, "tools": [TOOL] * (MAX_TOOLS + 1)}, "at most"),
        ({**WHOLE, "tools": [{"function": {"name": "x" * 101}}]}, "no tool"),
        ({**WHOLE, "tool_choice": 3}, "no tool_choice"),
        ({**WHOLE, "stop": ["x" * 101]}, "stop is"),
        ({**WHOLE, "stop": [""]}, "stop is"),
    ],
)
def test_what_is_no_request(body: dict[str, Any], words: str) -> None:
    with pytest.raises(BadEnvironment, match=words):
        request(body)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({**WHOLE, "tools": {}}, "tools.*not an array"),
        ({**WHOLE, "tools": [{**TOOL, "type": "web"}]}, "type.*not one of: function"),
        ({**WHOLE, "tools": [{**TOOL, "more": 1}]}, "more.*does not belong"),
        ({**WHOLE, "tools": [{"type": "function", "function": {}}]}, "name.*missing"),
        ({**WHOLE, "tools": [{**TOOL, "function": {"name": "x", "strict": True}}]}, "strict"),
        ({**WHOLE, "tools": [{**TOOL, "function": {"name": "x", "parameters": []}}]}, "object"),
        (
            {
                **WHOLE,
                "tools": [
                    {**TOOL, "function": {"name": "x", "parameters": {"a": "x" * MAX_SCHEMA}}}
                ],
            },
            "tools.*more than 262144 characters",
        ),
        ({**WHOLE, "tool_choice": "always"}, "not one of: auto"),
        ({**WHOLE, "tool_choice": {**NAMED, "function": {"name": "jump"}}}, "one of: look"),
        ({"messages": [SAID], "tool_choice": NAMED}, "name.*is not one of"),
        ({**WHOLE, "stop": "END"}, "stop.*not an array"),
        ({**WHOLE, "stop": [5]}, "not text"),
        ({"messages": [{**SAID, "tool_calls": [CALL]}]}, "tool_calls.*does not belong"),
        ({"messages": [{**CALLING, "tool_calls": []}]}, "does not have 1 to"),
        ({"messages": [{**CALLING, "tool_calls": [{**CALL, "id": 5}]}]}, "id.*not text"),
        ({"messages": [{**ANSWER, "tool_call_id": None}]}, "tool_call_id.*not text"),
        ({"messages": [{**SAID, "tool_call_id": "c1"}]}, "does not belong"),
    ],
)
def test_spoiled_requests(body: dict[str, Any], words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        parse("model", body=body)


def test_a_schema_holds_nothing_that_cannot_be_stored() -> None:
    function = {"name": "a\0", "parameters": {"k\ud800": ["v\0"], "n": 1}}
    tools = parse("model", body={**WHOLE, "tools": [{**TOOL, "function": function}]}).body["tools"]
    assert tools[0]["function"] == {
        "name": "a\ufffd",
        "parameters": {"k\ufffd": ["v\ufffd"], "n": 1},
    }
