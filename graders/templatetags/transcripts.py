"""Transcripts and jobs in words. All text here is untrusted: it stays text, templates escape it."""

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django import template
from django.utils import timezone

from graders.models import Evaluation, Job
from graders.states import JobStatus, Stage
from graders.tooltext import ToolCalls

register = template.Library()

JOB_CLASSES: Final = {
    JobStatus.DONE: "good",
    JobStatus.FAILED: "bad",
    JobStatus.DEAD: "bad",
}
TAIL: Final = 12  # lines of a running job's log
LONG: Final = 3000  # characters of a turn; what is beyond is folded
_COLUMNS: Final = re.compile(r"\S {2,}\S|\|.*\||^[-+=#.*_ |]{3,}$|^\t| {4}", re.MULTILINE)
SPEAKERS: Final = {
    "system": "Instructions",
    "developer": "Instructions",
    "user": "Environment",
    "assistant": "Policy",
    "tool": "Tool",
}
STAGES: Final = {
    Stage.QUEUED: "Waiting for a worker",
    Stage.BUILDING: "Locking the dependencies and making the bundle",
    Stage.INSPECTING: "Loading the environment in the sandbox and reading its tasks",
    Stage.RUNNING: "The reference model is working on the tasks",
    Stage.SUMMARISING: "Computing the estimates and their intervals",
    Stage.DONE: "Done",
    Stage.FAILED: "Failed",
    Stage.CANCELLED: "Cancelled",
}
TOOLS: Final = {
    ToolCalls.NATIVE: "called through the server",
    ToolCalls.TEXT: "told in the prompt, calls read from the reply",
}


@dataclass(frozen=True)
class Turn:
    """One message, ready to be shown."""

    number: int
    role: str
    text: str
    calls: tuple[str, ...]
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


@register.filter
def turns(messages: list[dict[str, Any]]) -> list[Turn]:
    """A stored transcript's messages as turns, numbered from 1."""
    return [_turn(number, message) for number, message in enumerate(messages, start=1)]


def _turn(number: int, message: dict[str, Any]) -> Turn:
    usage = message.get("usage") or {}
    return Turn(
        number=number,
        role=str(message.get("role", "")),
        text=_text(message.get("content")),
        calls=tuple(_call(call) for call in message.get("tool_calls") or []),
        tokens=usage.get("completion_tokens", usage.get("tokens_out")),
        is_cut=message.get("finish_reason") == "length",
    )


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


def _call(call: Any) -> str:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        return _json(call)
    return f"{function.get('name', 'tool')}({function.get('arguments', '')})"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1)


@register.filter
def in_words(evaluation: Evaluation) -> str:
    """The stage of an evaluation in words."""
    return STAGES[Stage(evaluation.stage)]


@register.filter
def tools_in_words(tool_calls: str) -> str:
    """How a model is offered tools, in words."""
    return TOOLS[ToolCalls(tool_calls)]


@register.filter
def job_class(job: Job) -> str:
    """How a job's state is drawn: `good`, `bad`, or empty."""
    return JOB_CLASSES.get(JobStatus(job.status), "")


@register.filter
def ago(moment: datetime | None) -> str:
    """How long ago something was, in the greatest unit that fits."""
    if moment is None:
        return "never"
    seconds = max(0, int((timezone.now() - moment).total_seconds()))
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


@register.filter
def tail(log: str) -> str:
    """The last lines of a log."""
    return "\n".join(log.rstrip().splitlines()[-TAIL:])
