"""What a model's server answered, taken apart: a completion of known shape, or what went wrong."""

import email.utils
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeGuard

from graders.runner.frames import MAX_CALL_ID, MAX_CALLS, MAX_NAME

Json = dict[str, Any]

QUOTE: Final = 300  # characters of what a server said

_TOO_LONG_CODES: Final = frozenset({"exceed_context_size_error", "context_length_exceeded"})
# vLLM and older servers say it in words alone.
_TOO_LONG_WORDS: Final = re.compile(
    r"maximum context length|context (length|size|window)|prompt is too long", re.IGNORECASE
)
# Of a server or a template that knows no tools; some say so with status 500.
_NO_TOOLS_WORDS: Final = re.compile(
    r"(support|requires?|param|argument)\w*\b.*\b(tool|function)|\btools?\b.*(support|requires?)"
    r"|\broles?\b",
    re.IGNORECASE,
)


class Transient(Exception):
    """An attempt failed in a way that another may not. `wait_s` is the server's Retry-After."""

    def __init__(self, text: str, wait_s: float | None = None) -> None:
        super().__init__(text)
        self.wait_s = wait_s


def completion(answer: bytes) -> Json:
    """The answer as a chat.completion of known shape. Raises Transient if it is none."""
    body = _decoded(answer)
    try:
        (choice,) = body["choices"]
        message, reason = choice["message"], choice["finish_reason"]
        if not isinstance(reason, str):
            raise TypeError("finish_reason is not text")
        clean = _message(message)
        usage = _usage(body.get("usage"))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Transient(f"its answer is no chat completion ({type(error).__name__})") from error
    return {
        "id": _text(body.get("id")),
        "object": "chat.completion",
        "created": body["created"] if is_count(body.get("created")) else 0,
        "model": _text(body.get("model")),
        "choices": [{"index": 0, "message": clean, "finish_reason": reason}],
        "usage": usage,
    }


def error(answer: bytes) -> dict[str, str]:
    """`message`, `type` and `code` of an error answer, as far as it has them."""
    try:
        body = _decoded(answer)
    except Transient:
        body = answer[:QUOTE].decode("utf-8", "replace")
    found = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(found, dict):
        found = {"message": found}
    return {key: str(found.get(key, "")) for key in ("message", "type", "code")}


def is_too_long(status: int, error: dict[str, str]) -> bool:
    """Whether a refusal means that the conversation does not fit the model's context."""
    if status == 413 or _TOO_LONG_CODES & {error["type"], error["code"]}:
        return True
    return status in {400, 422} and bool(_TOO_LONG_WORDS.search(error["message"]))


def lacks_tools(said: str) -> bool:
    """Whether a refusal of a request with tools means that there can be none."""
    return bool(_NO_TOOLS_WORDS.search(said))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait, given as a number or as a date; None if it does not."""
    asked = headers.get("Retry-After", "").strip()
    if asked.isascii() and asked.isdigit():
        return float(asked[:9])
    try:
        until = email.utils.parsedate_to_datetime(asked)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())


def is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _decoded(answer: bytes) -> Any:
    try:
        return json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise Transient(f"its answer is not JSON ({len(answer)} bytes)") from error


def _message(message: Json) -> Json:
    content, reasoning = message.get("content"), message.get("reasoning_content")
    # What is too much of it is the model's doing: asked again, the server would answer the same.
    calls = [_call(call) for call in message.get("tool_calls") or ()][:MAX_CALLS]
    if content is None and isinstance(reasoning, str) and not calls:
        # A reasoning model that ran out of tokens before it began to answer.
        content = ""
    if not (isinstance(content, str) or (content is None and calls)):
        raise TypeError("neither text nor tool calls")
    clean: Json = {"role": "assistant", "content": None if content is None else _text(content)}
    if isinstance(reasoning, str):
        clean["reasoning_content"] = _text(reasoning)
    return clean | ({"tool_calls": calls} if calls else {})


def _call(call: Json) -> Json:
    name, arguments = call["function"]["name"], call["function"]["arguments"]
    if not (isinstance(call["id"], str) and isinstance(name, str) and isinstance(arguments, str)):
        raise TypeError("a tool call is made of texts")
    function = {"name": _text(name)[:MAX_NAME], "arguments": _text(arguments)}
    return {"id": _text(call["id"])[:MAX_CALL_ID], "type": "function", "function": function}


def _usage(usage: Any) -> Json | None:
    """The server's own count of tokens; a guess would be worse than none."""
    if not isinstance(usage, dict):
        return None
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not (is_count(prompt) and is_count(completion)):
        return None
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def _text(value: Any) -> str:
    """A text that UTF-8 can hold; empty for anything else."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""
