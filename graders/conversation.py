"""Requests to the model that come out of a sandbox: conversations, and the tools they offer.

The shapes are those of chat completions, cut down to what a hub can relay: contents are text.
"""

import json
from typing import Any

from graders.fields import Fields
from graders.runner.frames import (
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

# {"role", "content"}; from the assistant perhaps `tool_calls`, from a tool `tool_call_id` and
# perhaps `name`.
Message = dict[str, Any]
# {"messages"} and perhaps `tools`, `tool_choice`, `stop` and `max_tokens`.
Body = dict[str, Any]


def messages(fields: Fields, *, least: int) -> list[Message]:
    """The conversation of a frame. Raises ProtocolError."""
    found = fields.array("messages", MAX_MESSAGES, least=least)
    return [_message(Fields(one, f"a message of {fields.name}")) for one in found]


def body(fields: Fields) -> Body:
    """A whole request. Raises ProtocolError."""
    taken: Body = {"messages": messages(fields, least=1)}
    if "tools" in fields:
        taken["tools"] = _tools(fields)
    if "tool_choice" in fields:
        taken["tool_choice"] = _choice(fields, taken.get("tools", []))
    if "stop" in fields:
        stops = fields.array("stop", MAX_STOPS, least=1)
        taken["stop"] = [Fields({"text": one}, '"stop"').text("text", MAX_NAME) for one in stops]
    if "max_tokens" in fields:
        taken["max_tokens"] = fields.whole("max_tokens", MAX_TOKENS, least=1)
    fields.finish()
    return taken


def _message(one: Fields) -> Message:
    role = one.choice("role", ROLES)
    message: Message = {"role": role, "content": one.text("content", MAX_CONTENT)}
    if role == "assistant" and "tool_calls" in one:
        calls = one.array("tool_calls", MAX_CALLS, least=1)
        message["tool_calls"] = [_call(Fields(call, f"a call in {one.name}")) for call in calls]
    if role == "tool":
        message["tool_call_id"] = one.text("tool_call_id", MAX_CALL_ID)
        if "name" in one:
            message["name"] = one.text("name", MAX_NAME)
    one.finish()
    return message


def _call(call: Fields) -> dict[str, Any]:
    function = call.inner("function")
    taken = {
        "id": call.text("id", MAX_CALL_ID),
        "type": call.choice("type", ("function",)),
        "function": {
            "name": function.text("name", MAX_NAME),
            "arguments": function.text("arguments", MAX_CONTENT),
        },
    }
    function.finish()
    call.finish()
    return taken


def _tools(fields: Fields) -> list[dict[str, Any]]:
    found = fields.array("tools", MAX_TOOLS, least=1)
    tools = [_tool(Fields(one, f"a tool of {fields.name}")) for one in found]
    if len(json.dumps(tools)) > MAX_SCHEMA:
        raise fields.wrong("tools", f"has more than {MAX_SCHEMA} characters")
    return tools


def _tool(tool: Fields) -> dict[str, Any]:
    kind, function = tool.choice("type", ("function",)), tool.inner("function")
    told: dict[str, Any] = {"name": function.text("name", MAX_NAME)}
    if "description" in function:
        told["description"] = function.text("description", MAX_SCHEMA)
    if "parameters" in function:
        told["parameters"] = function.json("parameters")
    function.finish()
    tool.finish()
    return {"type": kind, "function": told}


def _choice(fields: Fields, tools: list[dict[str, Any]]) -> str | dict[str, Any]:
    """A word, or the one function to call, which must be among the tools."""
    if isinstance(fields.peek("tool_choice"), str):
        return fields.choice("tool_choice", CHOICES)
    choice = fields.inner("tool_choice")
    function = choice.inner("function")
    names = tuple(tool["function"]["name"] for tool in tools)
    taken = {
        "type": choice.choice("type", ("function",)),
        "function": {"name": function.choice("name", names)},
    }
    function.finish()
    choice.finish()
    return taken
