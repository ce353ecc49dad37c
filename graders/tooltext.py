"""Tools for a model that knows none: offered in a system message, called in the reply's text.

The form is Hermes', which many open models were trained on: `<tools>`, `<tool_call>` and
`<tool_response>` around JSON. An environment sees neither: it offers `tools` and gets `tool_calls`.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from itertools import groupby
from typing import Any, Final, NoReturn

from graders.errors import EnvironmentFault
from graders.fields import clean
from graders.runner.frames import MAX_CALLS, MAX_CONTENT, MAX_NAME

Json = dict[str, Any]


class ToolCalls(StrEnum):
    """How a model is offered tools and how it calls them."""

    NATIVE = "native"  # as `tools` and `tool_calls`, by the server
    TEXT = "text"  # in words, by this module


_OFFER: Final = """\
# Tools

You can call functions. Their signatures are within <tools></tools>:
<tools>
{tools}
</tools>

For each call, write a JSON object with the function's name and its arguments within \
<tool_call></tool_call>:
<tool_call>
{{"name": <function-name>, "arguments": <arguments-object>}}
</tool_call>
What the function returns comes back within <tool_response></tool_response>.{choice}"""

# From one mark to the next that stands in no string of the JSON. Possessive, and without a
# backslash outside strings: of two attempts that read the same text, one takes for a string what
# the other does not, so a mark in it ends one of them. That keeps this linear, whatever is read.
_CALL: Final = re.compile(
    r"""<tool_call>\s*+
        (\{(?: [^"<\\]++ | "(?:[^"\\]++|\\.)*+" | <(?!/?tool_call>) )*+)
        (?: </tool_call> | \Z )""",
    re.VERBOSE | re.DOTALL,
)


def told(request: Json) -> Json:
    """A chat completions request without tools that says in words what `request` says with them.

    Raises:
        EnvironmentFault: its tools, its tool_choice or its messages have not OpenAI's form.
    """
    rest = {key: value for key, value in request.items() if key not in ("tools", "tool_choice")}
    try:
        messages = list(_in_words(request["messages"]))
        if request.get("tools"):
            offer = _offer(request["tools"], request.get("tool_choice"))
            messages = _instructed(messages, offer)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise EnvironmentFault(
            "The tools, the tool_choice or the tool calls of a request to the model do not have "
            f"the form of chat completions ({type(error).__name__}: {error})."
        ) from error
    return rest | {"messages": messages}


def heard(request: Json, completion: Json) -> Json:
    """The answer to `told(request)` with the calls in its text as `tool_calls`.

    Only those that `request` allows; what is not a call stays text. An id says where a call
    stands: which message of the conversation, and which call of the message.
    """
    if not request.get("tools") or request.get("tool_choice") == "none":
        return completion
    (choice,) = completion["choices"]
    content, functions = read(choice["message"]["content"] or "")
    if not functions:
        return completion
    place = len(request["messages"])
    calls = [
        {"id": f"call_{place}_{number}", "type": "function", "function": function}
        for number, function in enumerate(functions)
    ]
    message = choice["message"] | {"content": content or None, "tool_calls": calls}
    reason = choice["finish_reason"]
    ended = {"message": message, "finish_reason": reason if reason == "length" else "tool_calls"}
    return completion | {"choices": [choice | ended]}


def read(text: str) -> tuple[str, list[dict[str, str]]]:
    """The text around the calls in `text`, and each call's `name` and `arguments` (JSON text).

    Without a call the text is as it was, else its ends are trimmed. From the call after MAX_CALLS
    on, all is text.
    """
    functions: list[dict[str, str]] = []
    around, end = [], 0
    for match in _CALL.finditer(text):
        if len(functions) < MAX_CALLS and (function := _function(match[1])):
            functions.append(function)
            around.append(text[end : match.start()])
            end = match.end()
    if not functions:
        return text, []
    return "".join([*around, text[end:]]).strip(), functions


def write(name: str, arguments: str) -> str:
    """A call as a model writes it. `arguments`: JSON text; what is none is written as a string."""
    try:
        inner = _json(_object(arguments or "{}"))
    except (ValueError, RecursionError):
        inner = _json(arguments)
    return f'<tool_call>\n{{"name": {_json(name)}, "arguments": {inner}}}\n</tool_call>'


def _function(text: str) -> dict[str, str] | None:
    """The function that a call's JSON names, None if it is no call."""
    try:
        call = _object(text)
        name, arguments = call.get("name"), call.get("arguments")
        if isinstance(arguments, str):  # JSON within JSON, as many models write it
            arguments = _object(arguments)
        if not (isinstance(name, str) and 0 < len(name) <= MAX_NAME):
            return None
        written = clean(_json({} if arguments is None else arguments))
    except (ValueError, RecursionError):
        return None
    if not written.startswith("{") or len(written) > MAX_CONTENT:
        return None
    return {"name": clean(name), "arguments": written}


def _object(text: str) -> Json:
    """The JSON object in a text. Raises ValueError if there is none, or RecursionError."""
    found = json.loads(text, parse_constant=_refuse)
    if not isinstance(found, dict):
        raise ValueError("it is no object")
    return found


def _json(value: Any) -> str:
    """Raises ValueError for a number that JSON cannot hold, such as 1e999."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")


def _offer(tools: Iterable[Mapping[str, Any]], choice: Any) -> str:
    names = [tool["function"]["name"] for tool in tools]
    return _OFFER.format(tools="\n".join(map(_json, tools)), choice=_choice(choice, names))


def _choice(choice: Any, names: list[str]) -> str:
    """A request's tool_choice in words. Raises ValueError if there is no such choice."""
    match choice:
        case None | "auto":
            return ""
        case "none":
            return "\nDo not call a function in this reply."
        case "required":
            return "\nCall at least one function in this reply."
        case {"type": "function", "function": {"name": name}} if name in names:
            return f"\nCall the function {name} in this reply."
    raise ValueError(f"there is no tool_choice {str(choice)[:MAX_NAME]}")


def _instructed(messages: list[Json], offer: str) -> list[Json]:
    """The conversation with the offer at the end of its first message, a system message."""
    first = messages[0]
    if first["role"] != "system":
        return [{"role": "system", "content": offer}, *messages]
    return [first | {"content": f"{first['content']}\n\n{offer}"}, *messages[1:]]


def _in_words(messages: Iterable[Json]) -> Iterator[Json]:
    """The conversation without calls and tools. What stands beside a tool's result is one message
    with it: the templates of small models want roles to alternate."""
    for _, group in groupby(messages, key=lambda message: message["role"] in ("user", "tool")):
        said = list(group)
        if any(message["role"] == "tool" for message in said):
            yield {"role": "user", "content": "\n".join(map(_answered, said))}
        else:
            yield from map(_called, said)


def _answered(message: Json) -> str:
    content = message.get("content") or ""
    if message["role"] == "user":
        return str(content)
    return f"<tool_response>\n{content}\n</tool_response>"


def _called(message: Json) -> Json:
    if not message.get("tool_calls"):
        return message
    functions = [call["function"] for call in message["tool_calls"]]
    calls = [write(function["name"], function["arguments"]) for function in functions]
    rest = {key: value for key, value in message.items() if key != "tool_calls"}
    return rest | {"content": "\n".join(filter(None, [message.get("content"), *calls]))}
