"""What the model said: a chat completion, cut down to what counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graders.conversation import Message
from graders.errors import ModelUnavailable
from graders.fields import clean
from graders.runner.frames import MAX_CALL_ID, MAX_CALLS, MAX_CONTENT, MAX_NAME

COUNTS = ("prompt_tokens", "completion_tokens")


@dataclass
class Reply:
    """What counts of a chat completion."""

    content: str
    tool_calls: list[dict[str, Any]]
    finish_reason: str | None
    usage: dict[str, int] | None

    @classmethod
    def read(cls, completion: Mapping[str, Any]) -> "Reply":
        """Raises ModelUnavailable for what is no chat completion."""
        try:
            choice = completion["choices"][0]
            message = choice["message"]
            content = message.get("content") or ""
            calls = [_call(call) for call in message.get("tool_calls") or ()]
            finish_reason = choice.get("finish_reason") and str(choice["finish_reason"])
            usage = _usage(completion.get("usage") or {})
        except (AttributeError, LookupError, TypeError) as error:
            raise ModelUnavailable("The model's answer is no chat completion.") from error
        if not isinstance(content, str) or len(content) > MAX_CONTENT:
            raise ModelUnavailable(f"The model's answer is no text of {MAX_CONTENT} characters.")
        if len(calls) > MAX_CALLS:
            raise ModelUnavailable(f"The model's answer has more than {MAX_CALLS} tool calls.")
        return cls(clean(content), calls, finish_reason, usage)

    def message(self) -> Message:
        """As it stands in the conversation from now on."""
        calls = {"tool_calls": self.tool_calls} if self.tool_calls else {}
        return {"role": "assistant", "content": self.content, **calls}

    def body(self) -> dict[str, Any]:
        """As the runner gets it."""
        choice = {"index": 0, "message": self.message(), "finish_reason": self.finish_reason}
        return {"choices": [choice], "usage": self.usage}


def _call(call: Any) -> dict[str, Any]:
    function = call["function"]
    found = {"id": call["id"], "name": function["name"], "arguments": function["arguments"]}
    limits = {"id": MAX_CALL_ID, "name": MAX_NAME, "arguments": MAX_CONTENT}
    for key, text in found.items():
        if not isinstance(text, str) or len(text) > limits[key]:
            raise TypeError(f"{key} of a tool call is no text of {limits[key]} characters")
    named = {"name": clean(found["name"]), "arguments": clean(found["arguments"])}
    return {"id": clean(found["id"]), "type": "function", "function": named}


def _usage(found: Mapping[str, Any]) -> dict[str, int] | None:
    counts = {name: found.get(name) for name in COUNTS}
    known = {name: count for name, count in counts.items() if type(count) is int and count >= 0}
    return known if len(known) == len(COUNTS) else None
