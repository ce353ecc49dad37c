"""Transcripts and jobs in words. All text here is untrusted: it stays text, templates escape it."""

from datetime import datetime
from typing import Any, Final

from django import template
from django.utils import timezone

from environments.templatetags.measures import MINUS
from graders.models import Evaluation, Job
from graders.states import JobStatus, Stage
from graders.tooltext import ToolCalls
from graders.turns import Turn, read

register = template.Library()

JOB_CLASSES: Final = {
    JobStatus.DONE: "good",
    JobStatus.FAILED: "bad",
    JobStatus.DEAD: "bad",
}
TAIL: Final = 12  # lines of a running job's log
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
TOOLS: Final[dict[str, str]] = {
    ToolCalls.NATIVE: "called through the server",
    ToolCalls.TEXT: "told in the prompt, calls read from the reply",
}


@register.filter
def turns(messages: list[dict[str, Any]]) -> list[Turn]:
    """A stored transcript's messages as turns."""
    return read(messages)


@register.filter
def in_words(evaluation: Evaluation) -> str:
    """The stage of an evaluation in words."""
    return STAGES[Stage(evaluation.stage)]


@register.filter
def tools_in_words(tool_calls: str) -> str:
    """How a model is offered tools, in words."""
    return TOOLS.get(tool_calls, tool_calls)


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
def figures(value: Any) -> str:
    """A number of any size in at most four figures; what is none as it is."""
    return f"{value:.4g}".replace("-", MINUS) if isinstance(value, int | float) else str(value)


@register.filter
def tail(log: str) -> str:
    """The last lines of a log."""
    return "\n".join(log.rstrip().splitlines()[-TAIL:])
