"""A transcript as turns: who calls, who answers, what was dropped, and no text that grows."""

import json
from typing import Any

import pytest

from graders.turns import INDENTS, LINE, Call, Turn, read


def say(role: str, content: str = "x", **rest: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **rest}


def call(number: str, name: str = "add", arguments: str = "{}") -> dict[str, Any]:
    return {"id": number, "type": "function", "function": {"name": name, "arguments": arguments}}


def shown(arguments: str) -> Call:
    (turn,) = read([say("assistant", tool_calls=[call("c", "add", arguments)])])
    (found,) = turn.calls
    return found


def test_arguments_are_set_out_only_if_they_need_it():
    short, long = shown('{"a":1,"b":"é"}'), shown(json.dumps({"a": list(range(30))}))
    assert (str(short), short.is_line) == ('add({"a": 1, "b": "é"})', True)
    assert long.arguments.startswith('{\n  "a": [\n    0,\n')
    assert (long.is_line, long.is_short, long.parts) == (False, True, ())


@pytest.mark.parametrize(
    "arguments",
    ['{"a": 1', "", "add 2 and 3", '{"a": 1, "a": 2}', "[" * 99_999, "9" * 9999, "line\nline"],
)
def test_arguments_that_would_lose_something_stay_as_they_were(arguments):
    assert shown(arguments).arguments == arguments


def test_a_text_of_several_lines_is_read_as_one():
    found = shown(json.dumps({"code": "a = 1\nb = 2\n", "limits": {"s": 5}, "name": "x"}))
    assert found.parts == (("code", "a = 1\nb = 2\n"), ("limits", '{"s": 5}'), ("name", '"x"'))
    assert not shown('{"code": "a = 1\\n"}').parts
    assert not shown('["a\\nb"]').parts


@pytest.mark.parametrize(
    "arguments",
    [
        "[" * 15 + "1," * 100_000 + "1" + "]" * 15,
        "[" * 500 + "1," * 100_000 + "1" + "]" * 500,
        '{"a":' * 400 + "1" + "}" * 400,
        "[" * 9_000 + "]" * 9_000,
    ],
)
def test_indents_do_not_outweigh_the_text(arguments):
    assert len(shown(arguments).arguments) <= 2 * INDENTS * len(arguments) + LINE


def turns(*messages: dict[str, Any]) -> list[Turn]:
    found = read(messages)
    assert [turn.number for turn in found] == list(range(1, len(messages) + 1))
    return found


def test_a_result_is_named_by_the_call_it_answers():
    ada, bob = {"agent": "ada"}, {"agent": "bob"}
    found = turns(
        say("assistant", tool_calls=[call("1", "add"), call("2", "look")], **ada),
        say("assistant", tool_calls=[call("1", "sing")], **bob),
        say("tool", tool_call_id="2", **ada),
        say("tool", tool_call_id="1", **ada),
        say("tool", tool_call_id="1", **bob),
        say("tool", tool_call_id="1", name="its own", **bob),
        say("tool", tool_call_id="gone", **bob),
        say("assistant", tool_calls=[call("1", "again")], **ada),
        say("tool", tool_call_id="1", **ada),
    )
    assert [turn.answers for turn in found if turn.is_tool] == [
        ("look", 1),
        ("add", 1),
        ("sing", 2),
        ("its own", 2),
        ("", None),
        ("again", 8),
    ]


def test_what_was_dropped_is_counted_in_the_seats_own_conversation():
    ada, bob = {"agent": "ada"}, {"agent": "bob"}
    found = turns(
        say("user", **ada),
        say("user", **bob),
        say("assistant", **ada),
        say("assistant", **bob),
        say("user", replaces_from=1, **bob),
        say("user", replaces_from=2, **ada),
        say("user", replaces_from=2, **ada),
        say("user", replaces_from=0, **bob),
        say("user", **bob),
    )
    follows = [turn.follows for turn in found]
    assert follows == [None, None, None, None, 2, 3, 3, 0, None]
    assert [turn.agent for turn in found[:2]] == ["ada", "bob"]


def test_tools_are_those_that_were_offered_anew():
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
    first, second, third = turns(
        say("assistant", tools=[tool, {"type": "function", "function": {"name": "look"}}]),
        say("assistant"),
        say("assistant", tools=[]),
    )
    assert [(one.name, one.description, one.schema) for one in first.tools] == [
        ("add", "", '{"type": "object"}'),
        ("look", "", ""),
    ]
    assert (second.tools, third.tools) == (None, ())
