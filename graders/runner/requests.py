"""A chat completions request of contributed code, as the worker takes it."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from .faults import BadEnvironment, shown
from .frames import (
    CHOICES,
    MAX_CALL_ID,
    MAX_CALLS,
    MAX_CONTENT,
    MAX_MESSAGES,
    MAX_NAME,
    MAX_SCHEMA,
    MAX_STOPS,
    MAX_TOKENS,
    MAX_TOOLS,
    ROLES,
)

# {"role", "content": text}; from the assistant perhaps "tool_calls", from a tool "tool_call_id"
# and perhaps "name".
Message = dict[str, Any]


def request(body: Mapping[str, Any]) -> dict[str, Any]:
    """What counts of a request; the rest is dropped. Raises BadEnvironment for what is none."""
    taken: dict[str, Any] = {"messages": messages(body.get("messages"))}
    if tools := body.get("tools"):
        taken["tools"] = _tools(tools)
        choice = body.get("tool_choice")
        if choice is not None:
            taken["tool_choice"] = _choice(choice)
    if stop := body.get("stop"):
        taken["stop"] = _stops(stop)
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    if isinstance(limit, int) and limit > 0:
        taken["max_tokens"] = min(int(limit), MAX_TOKENS)
    return taken


def messages(found: Any) -> list[Message]:
    """A conversation. Raises BadEnvironment for what is none."""
    if not isinstance(found, Sequence) or isinstance(found, str) or not found:
        raise BadEnvironment(f"{shown(found)} is no conversation: it must be a list of messages.")
    if len(found) > MAX_MESSAGES:
        raise BadEnvironment(f"The conversation has more than {MAX_MESSAGES} messages.")
    return [message(one) for one in found]


def message(one: Any) -> Message:
    """One message. Raises BadEnvironment for what is none, or what is not text alone."""
    role = one.get("role") if isinstance(one, Mapping) else None
    if role not in ROLES:
        raise BadEnvironment(
            f"{shown(one)} is not a message: it needs a role ({', '.join(ROLES)}) and a content "
            "that is text."
        )
    taken: Message = {"role": str(role), "content": _text(one)}
    if role == "assistant" and (calls := one.get("tool_calls")):
        if len(calls) > MAX_CALLS:
            raise BadEnvironment(f"A message has more than {MAX_CALLS} tool calls.")
        taken["tool_calls"] = [_call(call) for call in calls]
    if role == "tool":
        if not isinstance(one.get("tool_call_id"), str):
            raise BadEnvironment(f"{shown(dict(one))} answers no call: it needs a tool_call_id.")
        taken["tool_call_id"] = one["tool_call_id"][:MAX_CALL_ID]
        if isinstance(one.get("name"), str):
            taken["name"] = one["name"][:MAX_NAME]
    return taken


def _text(one: Mapping[str, Any]) -> str:
    """A message's content; that of one with tool calls may be missing."""
    content = one.get("content")
    if isinstance(content, list | tuple):
        content = "".join(_part(part) for part in content)
    if content is None and one.get("tool_calls"):
        content = ""
    if not isinstance(content, str):
        raise BadEnvironment(
            f"{shown(dict(one))} is not a message: it needs a role ({', '.join(ROLES)}) and a "
            "content that is text."
        )
    if len(content) > MAX_CONTENT:
        raise BadEnvironment(
            f"A message has {len(content)} characters; the limit is {MAX_CONTENT}. Shorten it."
        )
    return str(content)


def _part(part: Any) -> str:
    text = part.get("text") if isinstance(part, Mapping) else part
    if not isinstance(text, str):
        raise BadEnvironment(
            f"{shown(part)} is in a message; the models of this hub read text alone."
        )
    return text


def _call(call: Any) -> dict[str, Any]:
    try:
        function = call["function"]
        name, arguments, number = function["name"], function["arguments"], call["id"]
    except (LookupError, TypeError) as error:
        raise BadEnvironment(f"{shown(call)} is no tool call.") from error
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments)
    named = {"name": str(name)[:MAX_NAME], "arguments": arguments}
    return {"id": str(number)[:MAX_CALL_ID], "type": "function", "function": named}


def _tools(tools: Any) -> list[dict[str, Any]]:
    if not isinstance(tools, Sequence) or len(tools) > MAX_TOOLS:
        raise BadEnvironment(f"The tools must be a list of at most {MAX_TOOLS}.")
    taken = [_tool(tool) for tool in tools]
    if len(json.dumps(taken, default=str)) > MAX_SCHEMA:
        raise BadEnvironment(f"The tools have more than {MAX_SCHEMA} characters together.")
    return taken


def _tool(tool: Any) -> dict[str, Any]:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(name, str) or len(name) > MAX_NAME:
        raise BadEnvironment(f"{shown(tool)} is no tool: it needs a function with a name.")
    told: dict[str, Any] = {"name": name}
    if isinstance(description := function.get("description"), str):
        told["description"] = description
    if isinstance(parameters := function.get("parameters"), Mapping):
        told["parameters"] = dict(parameters)
    return {"type": "function", "function": told}


def _choice(choice: Any) -> str | dict[str, Any]:
    if choice in CHOICES:
        return str(choice)
    try:
        name = choice["function"]["name"]
    except (LookupError, TypeError) as error:
        raise BadEnvironment(f"{shown(choice)} is no tool_choice.") from error
    return {"type": "function", "function": {"name": str(name)[:MAX_NAME]}}


def _stops(stop: Any) -> list[str]:
    stops = [stop] if isinstance(stop, str) else list(stop)
    if len(stops) > MAX_STOPS or not all(
        isinstance(one, str) and 0 < len(one) <= MAX_NAME for one in stops
    ):
        raise BadEnvironment(
            f"stop is {shown(stop)}; it must be at most {MAX_STOPS} texts of up to {MAX_NAME} "
            "characters."
        )
    return stops
