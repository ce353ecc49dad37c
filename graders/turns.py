"""A stored transcript as turns, ready to be shown. All of its text is untrusted: it stays text."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

LONG: Final = 3000  # characters of a turn; what is beyond is folded
LINE: Final = 72  # characters of a call that stands on one line
SHORT: Final = 600  # characters of a call or a tool's result that stands open
DEPTH: Final = 16  # of JSON that is set out in lines
INDENTS: Final = 3  # times its length that JSON may take when it is set out in lines
SPEAKERS: Final = {
    "system": "Instructions",
    "developer": "Instructions",
    "user": "Environment",
    "assistant": "Policy",
    "tool": "Tool",
}
_COLUMNS: Final = re.compile(r"\S {2,}\S|\|.*\||^[-+=#.*_ |]{3,}$|^\t| {4}", re.MULTILINE)


@dataclass(frozen=True)
class Call:
    """A call of a tool.

    Attributes:
        arguments: set out in lines if they are JSON, else as they were.
        parts: each argument's name and value, if there is a text of several lines among them.
    """

    name: str
    arguments: str
    parts: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.name}({self.arguments})"

    @property
    def is_line(self) -> bool:
        text = str(self)
        return len(text) <= LINE and "\n" not in text

    @property
    def is_short(self) -> bool:
        return len(str(self)) <= SHORT


@dataclass(frozen=True)
class Tool:
    """A tool that the policy was offered; `schema` is its arguments' JSON schema, or empty."""

    name: str
    description: str
    schema: str


@dataclass(frozen=True)
class Turn:
    """One message.

    Attributes:
        agent: the seat in whose conversation it is, empty if there is one conversation.
        tools: what the policy was offered, if that changed; None if it did not.
        answers: of a tool's result, the tool's name and the turn of the call (None if unknown).
        follows: the turn that it comes after if the environment dropped what came since, 0 if it
            dropped everything; else None.
        tokens: of what the policy said; None if they were not counted.
        is_cut: the token limit of one reply ended it.
    """

    number: int
    role: str
    agent: str
    text: str
    calls: tuple[Call, ...]
    tools: tuple[Tool, ...] | None
    answers: tuple[str, int | None]
    follows: int | None
    tokens: int | None
    is_cut: bool

    @property
    def speaker(self) -> str:
        return SPEAKERS.get(self.role, self.role.capitalize())

    @property
    def is_policy(self) -> bool:
        return self.role == "assistant"

    @property
    def is_tool(self) -> bool:
        return self.role == "tool"

    @property
    def is_short(self) -> bool:
        return len(self.text) <= SHORT

    @property
    def is_drawn(self) -> bool:
        """Whether the text is set in columns, as grids and tables are, and needs a fixed pitch."""
        return bool(_COLUMNS.search(self.text))

    @property
    def head(self) -> str:
        """The text up to where the rest is folded: all of it unless it is long."""
        return self.text[: self._cut]

    @property
    def rest(self) -> str:
        return self.text[self._cut :]

    @property
    def _cut(self) -> int:
        if len(self.text) <= LONG:
            return len(self.text)
        end_of_line = self.text.rfind("\n", LONG // 2, LONG)
        return LONG if end_of_line < 0 else end_of_line + 1


@dataclass
class _Conversation:
    """One seat's: the turns that it has now, and who was called in which turn, by the call's id."""

    turns: list[int] = field(default_factory=list)
    calls: dict[str, tuple[str, int]] = field(default_factory=dict)

    def add(self, number: int, message: dict[str, Any]) -> int | None:
        """Take in a message; returns the turn it follows if what came since was dropped."""
        kept, follows = message.get("replaces_from"), None
        if isinstance(kept, int):
            self.turns = self.turns[:kept]
            follows = self.turns[-1] if self.turns else 0
        self.turns.append(number)
        for found in _entries(message.get("tool_calls")):
            self.calls[_text(found.get("id"))] = (_call(found).name, number)
        return follows

    def answered(self, message: dict[str, Any]) -> tuple[str, int | None]:
        name, number = self.calls.get(_text(message.get("tool_call_id")), ("", None))
        return _text(message.get("name")) or name, number


def read(messages: Iterable[dict[str, Any]]) -> list[Turn]:
    """The turns of a transcript, numbered from 1."""
    seats: dict[str, _Conversation] = {}
    turns = []
    for number, message in enumerate(messages, start=1):
        seat = seats.setdefault(_text(message.get("agent")), _Conversation())
        turns.append(_turn(number, message, seat))
    return turns


def _turn(number: int, message: dict[str, Any], seat: _Conversation) -> Turn:
    usage = message.get("usage") or {}
    tools = message.get("tools")
    return Turn(
        number=number,
        role=str(message.get("role", "")),
        agent=_text(message.get("agent")),
        text=_text(message.get("content")),
        calls=tuple(_call(call) for call in message.get("tool_calls") or []),
        tools=None if tools is None else tuple(_tool(tool) for tool in _entries(tools)),
        answers=seat.answered(message),
        follows=seat.add(number, message),
        tokens=usage.get("completion_tokens", usage.get("tokens_out")),
        is_cut=message.get("finish_reason") == "length",
    )


def _entries(found: Any) -> list[dict[str, Any]]:
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _text(content: Any) -> str:
    """A message's text; parts that are not text are shown as what they are."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(
            part["text"]
            if isinstance(part, dict) and isinstance(part.get("text"), str)
            else _json(part)
            for part in content
        )
    return _json(content)


def _call(call: Any) -> Call:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        return Call("", _json(call))
    name, arguments = _text(function.get("name")), _text(function.get("arguments"))
    try:
        found = json.loads(arguments, object_pairs_hook=_unique)
        return Call(name, _json(found), _parts(found))
    except (ValueError, RecursionError):
        return Call(name, arguments)


def _tool(tool: dict[str, Any]) -> Tool:
    (function,) = _entries([tool.get("function")]) or [{}]
    schema = function.get("parameters")
    return Tool(
        name=_text(function.get("name")),
        description=_text(function.get("description")),
        schema="" if schema is None else _json(schema),
    )


def _parts(arguments: Any) -> tuple[tuple[str, str], ...]:
    """A program in an argument is read as a program, not with its line breaks escaped."""
    found = arguments if isinstance(arguments, dict) else {}
    if not any(_has_lines(value) for value in found.values()):
        return ()
    return tuple((key, one if _has_lines(one) else _json(one)) for key, one in found.items())


def _has_lines(value: Any) -> bool:
    return isinstance(value, str) and "\n" in value.strip()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(found := dict(pairs)) < len(pairs):
        raise ValueError("a key stands there twice")
    return found


def _json(value: Any) -> str:
    """A value as JSON: on one line if it is short, else in lines unless they are mostly indents."""
    line = json.dumps(value, ensure_ascii=False)
    if len(line) <= LINE or _is_deep(value, DEPTH):
        return line
    lines = json.dumps(value, ensure_ascii=False, indent=2)
    return lines if len(lines) <= INDENTS * len(line) else line


def _is_deep(value: Any, most: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return most == 0 or any(_is_deep(one, most - 1) for one in inner)
