"""Tools in text: what is told, what is read back, and that no text makes reading slow."""

import json
import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from graders.errors import EnvironmentFault
from graders.replies import Reply
from graders.runner.frames import MAX_CALLS, MAX_NAME
from graders.tooltext import heard, read, told, write

MARKS = ["<tool_call>", "</tool_call>", "<tool_response>", '"', "\\", '{"name": "f"}', "{", "}"]
# Text of whatever has a meaning here, and of what has none.
WILD = st.lists(
    st.sampled_from(MARKS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
).map("".join)
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=MAX_NAME)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | WILD,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WILD, inner, max_size=3),
    max_leaves=8,
)
CALLS = st.lists(st.tuples(NAMES, st.dictionaries(WILD, VALUES, max_size=3)), max_size=4)
PLAIN = st.text(st.characters(exclude_characters="<"))

ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add two numbers, “a” and {b}",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
    },
}
LOOK = {"type": "function", "function": {"name": "look", "parameters": {}}}
USER = {"role": "user", "content": "2 + 3?"}


def call(name: str, arguments: str, number: str = "x") -> dict[str, Any]:
    return {"id": number, "type": "function", "function": {"name": name, "arguments": arguments}}


def ask(*messages: dict[str, Any], **rest: Any) -> dict[str, Any]:
    return {"messages": list(messages or [USER]), "tools": [ADD, LOOK]} | rest


def completion(content: str | None, finish_reason: str = "stop") -> dict[str, Any]:
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    return {"id": "c", "choices": [choice], "usage": None}


@given(CALLS, PLAIN, st.sampled_from(["\n", "", " and "]))
def test_what_is_written_as_a_call_is_read_as_that_call(calls, before, between):
    written = [write(name, json.dumps(arguments)) for name, arguments in calls]
    content, functions = read(before + between.join(written))
    assert [(f["name"], json.loads(f["arguments"])) for f in functions] == calls
    assert content == ((before + between * (len(calls) - 1)).strip() if calls else before)


@given(WILD.filter(lambda text: "<tool_call>" not in text))
@example('{"name": "add", "arguments": {}}</tool_call>')
def test_text_without_calls_goes_through_as_it_is(text):
    assert read(text) == (text, [])
    assert heard(ask(), completion(text)) == completion(text)


@given(WILD)
def test_no_text_breaks_the_reader(text):
    content, functions = read(text)
    assert functions or content == text
    Reply.read(heard(ask(), completion(text)))
    for function in functions:
        assert function["name"]
        assert isinstance(json.loads(function["arguments"]), dict)


@pytest.mark.parametrize(
    "said",
    [
        '<tool_call>{"name": "add", "arguments": {"a": 1,}}</tool_call>',
        '<tool_call>{"arguments": {"a": 1}}</tool_call>',
        '<tool_call>{"name": "", "arguments": {}}</tool_call>',
        '<tool_call>{"name": 7, "arguments": {}}</tool_call>',
        '<tool_call>{"name": "add", "arguments": [1]}</tool_call>',
        '<tool_call>{"name": "add", "arguments": "one"}</tool_call>',
        '<tool_call>{"name": "add", "arguments": {"a": NaN}}</tool_call>',
        '<tool_call>{"name": "add", "arguments": {"a": 1e999}}</tool_call>',
        '<tool_call>["add"]</tool_call>',
        "<tool_call>add(1)</tool_call>",
        "<tool_call>\n",
        '<tool_call>{"name": "add", "arguments": {"a": ',
        '<tool_call>{"name": "add"} and then',
        '{"name": "add", "arguments": {}}</tool_call>',
        f'<tool_call>{{"name": "{"n" * (MAX_NAME + 1)}"}}</tool_call>',
        f'<tool_call>{{"name": "add", "arguments": {{"a": {"9" * 5000}}}}}</tool_call>',
        '<tool_call>{"name":"a","arguments":{"b":' + "[" * 99_999 + "]" * 99_999 + "}}</tool_call>",
    ],
)
def test_what_is_no_call_stays_in_sight(said):
    assert heard(ask(), completion(f" {said}\n")) == completion(f" {said}\n")


@pytest.mark.parametrize(
    ("said", "arguments"),
    [
        ('<tool_call>{"name": "add", "arguments": "{\\"a\\": 1}"}</tool_call>', '{"a": 1}'),
        ('<tool_call>{"name": "add"}</tool_call>', "{}"),
        ('<tool_call>{"name": "add", "arguments": null}</tool_call>', "{}"),
        ('<tool_call>\n\n{"arguments": {"a": 1}, "name": "add"}\n', '{"a": 1}'),
        ('<tool_call> <tool_call>{"name": "add"}</tool_call>', "{}"),
        (
            '<tool_call>{"name": "add", "arguments": {"a": "\\ud800é\\u0000"}}',
            '{"a": "\ufffdé\\u0000"}',
        ),
    ],
)
def test_what_models_make_of_the_form_is_a_call_too(said, arguments):
    _, (function,) = read(said)
    assert function == {"name": "add", "arguments": arguments}


@pytest.mark.parametrize(
    "piece",
    [
        "<tool_call>",
        "<tool_call>{",
        '<tool_call>{"',
        '<tool_call>{\\"',
        '<tool_call>{\\\\"',
        "<tool_call>{[</tool_call>",
        '<tool_call>{"a":"<tool_call>{",',
        '<tool_call>{"":1,"',
        '<tool_call>{"a":{',
        "<tool_call>" + " " * 99,
        '<tool_call>{"name":"a","arguments":"',
        '<tool_call>{"name":"a"}</tool_call>',
    ],
)
@pytest.mark.parametrize("before", ["", '<tool_call>{"', '<tool_call>{"a":'])
def test_a_hostile_text_is_read_in_linear_time(piece, before):
    """Within a second or so; what is quadratic would take minutes."""
    text = before + piece * ((1 << 20) // len(piece)) + "</tool_call>"
    began = time.process_time()
    read(text)
    assert time.process_time() - began < 8


def test_the_first_message_tells_of_the_tools():
    told_so = told(ask(stop=["x"], tool_choice="auto"))
    assert told_so.keys() == {"messages", "stop"}
    system, user = told_so["messages"]
    assert (system["role"], user) == ("system", USER)
    listed = system["content"].split("<tools>\n")[1].split("\n</tools>")[0]
    assert [json.loads(line) for line in listed.splitlines()] == [ADD, LOOK]
    assert "“a”" in listed
    assert system["content"].endswith("within <tool_response></tool_response>.")


def test_a_system_message_that_is_there_keeps_its_words():
    first = {"role": "system", "content": "Be brief."}
    (system, user) = told(ask(first, USER))["messages"]
    assert system["content"].startswith("Be brief.\n\n# Tools\n")
    assert (system["role"], user) == ("system", USER)
    assert first == {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ("none", "Do not call a function in this reply."),
        ("required", "Call at least one function in this reply."),
        ({"type": "function", "function": {"name": "look"}}, "Call the function look in this"),
    ],
)
def test_a_choice_is_told(choice, words):
    (system, _) = told(ask(tool_choice=choice))["messages"]
    assert words in system["content"]
    assert words not in told(ask())["messages"][0]["content"]


def test_without_tools_nothing_is_told_and_nothing_read():
    said = {"messages": [{"role": "system", "content": "A"}, USER], "stop": ["x"]}
    assert told(said) == said
    answer = completion(write("add", "{}"))
    assert heard(said, answer) == answer
    assert heard(ask(tool_choice="none"), answer) == answer


def test_a_conversation_with_tools_becomes_words():
    messages = [
        USER,
        {
            "role": "assistant",
            "content": "Two.",
            "tool_calls": [call("add", '{"a": 1}'), call("look", "")],
        },
        {"role": "tool", "tool_call_id": "x", "content": "5"},
        {"role": "tool", "tool_call_id": "y", "content": None},
        {"role": "user", "content": "Go on."},
        {"role": "assistant", "content": None, "tool_calls": [call("add", '{"a": 1e999}')]},
        {"role": "tool", "tool_call_id": "x", "content": "Error"},
        {"role": "assistant", "content": "5"},
        USER,
        USER,
    ]
    assert told({"messages": messages})["messages"] == [
        USER,
        {
            "role": "assistant",
            "content": 'Two.\n<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>\n'
            '<tool_call>\n{"name": "look", "arguments": {}}\n</tool_call>',
        },
        {
            "role": "user",
            "content": "<tool_response>\n5\n</tool_response>\n<tool_response>\n\n</tool_response>\n"
            "Go on.",
        },
        {
            "role": "assistant",
            "content": '<tool_call>\n{"name": "add", "arguments": "{\\"a\\": 1e999}"}\n'
            "</tool_call>",
        },
        {"role": "user", "content": "<tool_response>\nError\n</tool_response>"},
        {"role": "assistant", "content": "5"},
        USER,
        USER,
    ]


def test_calls_are_numbered_by_where_they_stand():
    said = "\n".join(["I add.", write("add", '{"a": 1}'), write("look", "{}")])
    answer = heard(ask(USER, {"role": "assistant", "content": "?"}, USER), completion(said))
    (choice,) = answer["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"] == {
        "role": "assistant",
        "content": "I add.",
        "tool_calls": [call("add", '{"a": 1}', "call_3_0"), call("look", "{}", "call_3_1")],
    }


def test_a_model_cannot_say_more_than_a_transcript_holds():
    """That would be an answer that is none, and the model is not to blame others."""
    one = write("look", "{}")
    answer = heard(ask(), completion("\n".join([one] * (MAX_CALLS + 1))))
    assert len(Reply.read(answer).tool_calls) == MAX_CALLS
    assert answer["choices"][0]["message"]["content"] == one
    for said in ("[" + "1," * 500_000 + "1]", '"' + "\x7f" * 1_000_000 + '"'):
        call = f'<tool_call>{{"name": "look", "arguments": {{"a": {said}}}}}</tool_call>'
        Reply.read(heard(ask(), completion(call)))


def test_an_answer_that_was_cut_off_says_so_still():
    (choice,) = heard(ask(), completion(write("look", "{}") + "<tool_ca", "length"))["choices"]
    assert choice["finish_reason"] == "length"
    assert choice["message"]["content"] == "<tool_ca"
    (choice,) = heard(ask(), completion(write("look", "{}")))["choices"]
    assert choice["message"]["content"] is None


@pytest.mark.parametrize(
    "changed",
    [
        {"tools": "add"},
        {"tools": {"name": "add"}},
        {"tools": [{"name": "add"}]},
        {"tools": [{"type": "function", "function": "add"}]},
        {"tools": [{"type": "function", "function": {"name": "a", "x": float("nan")}}]},
        {"tool_choice": "perhaps"},
        {"tool_choice": {"type": "function", "function": {"name": "gone"}}},
        {"messages": ["hello"]},
        {"messages": [{"content": "hello"}]},
        {"messages": [{"role": "assistant", "content": None, "tool_calls": [{"name": "add"}]}]},
    ],
)
def test_a_request_of_another_form_is_the_environments_fault(changed):
    with pytest.raises(EnvironmentFault, match="form of chat completions"):
        told(ask() | changed)
