"""What the worker accepts from a runner, and nothing else.

The process that sends these frames also runs contributed code, so each field is checked as if an
attacker had written it. A frame that breaks a rule is not repaired: nothing from that runner counts
any more. Frames and their limits are described in docs/architecture.md.
"""

from collections.abc import Callable
from dataclasses import dataclass

from graders import conversation
from graders.conversation import Body, Message
from graders.fields import Fields, ProtocolError, plain
from graders.runner.formats import ADAPTERS
from graders.runner.frames import (
    MAX_AGENTS,
    MAX_INT,
    MAX_LOGS,
    MAX_MESSAGES,
    MAX_METRICS,
    MAX_NAME,
    MAX_TEXT,
    PROTO,
    Frame,
)

MAX_ID = 2**31 - 1
LEVELS = ("debug", "info", "warning", "error")
FORMATS = tuple(ADAPTERS)


@dataclass(frozen=True)
class Error:
    """Why a rollout or a look at a task failed; `kind` is "environment" or "model"."""

    kind: str
    text: str


@dataclass(frozen=True)
class Ready:
    """The runner runs; contributed code has not been touched yet."""

    python: str


@dataclass(frozen=True)
class Loaded:
    """The environment is loaded. `tasks` is None for an endless one, `load_s` seconds."""

    format: str
    tasks: int | None
    load_s: float


@dataclass(frozen=True)
class TaskShown:
    """The conversation that opens a task, or why it cannot be had."""

    id: int
    task: int
    messages: list[Message]
    error: Error | None


@dataclass(frozen=True)
class Ask:
    """A question to the model within rollout `id`; `agent` names the seat that it is for, if the
    rollout has several, and `body` is the chat completions request."""

    rid: int
    id: int
    agent: str
    body: Body


@dataclass(frozen=True)
class Result:
    """The end of rollout `id`: a reward in the agreed range, or an error.

    `per_agent` has what each seat earned, on the environment's own scale.
    """

    id: int
    reward: float | None
    per_agent: dict[str, float]
    metrics: dict[str, float]
    turns: int
    error: Error | None


@dataclass(frozen=True)
class Fault:
    """The environment cannot be loaded, or cannot go on."""

    text: str


@dataclass(frozen=True)
class Log:
    """A line for whoever looks after the environment."""

    level: str
    text: str


Incoming = Ready | Loaded | TaskShown | Ask | Result | Fault | Log


class Inbox:
    """Reads one runner's frames in order.

    `reward_range` is (low, high), inclusive. Every text comes out without what a database cannot
    store: NUL and lone surrogates become U+FFFD; in errors and log lines all controls do.
    """

    def __init__(self, nonce: str, reward_range: tuple[float, float]) -> None:
        self._nonce = nonce
        self._low, self._high = reward_range
        self._seq = 0
        self._logs = 0
        self._parsers: dict[str, Callable[[Fields], Incoming]] = {
            "ready": _ready,
            "hello": _loaded,
            "task": _task,
            "model": _ask,
            "result": self._result,
            "fault": lambda fields: Fault(plain(fields.text("text", MAX_TEXT))),
            "log": self._log,
        }

    def parse(self, frame: Frame) -> Incoming:
        """The message in the next frame. Raises ProtocolError."""
        fields = Fields(frame, "the frame")
        kind = fields.text("type", MAX_NAME)
        fields.name = f"the {kind} frame"
        if fields.text("nonce", MAX_NAME) != self._nonce:
            raise fields.wrong("nonce", "is not this run's")
        if fields.whole("seq", MAX_INT) != self._seq:
            raise fields.wrong("seq", f"is not {self._seq}: a frame is missing, or came twice")
        self._seq += 1
        if kind not in self._parsers:
            raise fields.wrong("type", "is unknown")
        message = self._parsers[kind](fields)
        fields.finish()
        return message

    def _log(self, fields: Fields) -> Log:
        self._logs += 1
        if self._logs > MAX_LOGS:
            raise ProtocolError(f"The runner sent more than {MAX_LOGS} log frames.")
        return Log(fields.choice("level", LEVELS), plain(fields.text("text", MAX_TEXT)))

    def _result(self, fields: Fields) -> Result:
        error = _error(fields)
        reward = fields.optional("reward", fields.real)
        if (reward is None) == (error is None):
            raise fields.wrong("reward", "must be there if there is no error, and only then")
        if reward is not None and not self._low <= reward <= self._high:
            raise fields.wrong("reward", f"is {reward:g}, outside {self._low:g} to {self._high:g}")
        return Result(
            id=fields.whole("id", MAX_ID),
            reward=reward,
            per_agent=fields.numbers("per_agent", MAX_AGENTS),
            metrics=fields.numbers("metrics", MAX_METRICS),
            turns=fields.whole("turns", MAX_MESSAGES),
            error=error,
        )


def _ready(fields: Fields) -> Ready:
    _proto(fields)
    return Ready(fields.text("python", MAX_NAME))


def _loaded(fields: Fields) -> Loaded:
    load_s = fields.real("load_s")
    if load_s < 0:
        raise fields.wrong("load_s", "is negative")
    tasks = fields.optional("tasks", lambda key: fields.whole(key, MAX_INT))
    return Loaded(fields.choice("format", FORMATS), tasks, load_s)


def _task(fields: Fields) -> TaskShown:
    error = _error(fields)
    if error is not None and error.kind != "environment":
        raise fields.wrong("error", "blames the model, which was not asked")
    return TaskShown(
        id=fields.whole("id", MAX_ID),
        task=fields.whole("task", MAX_INT),
        messages=conversation.messages(fields, least=0 if error else 1),
        error=error,
    )


def _ask(fields: Fields) -> Ask:
    fields.choice("role", ("policy",))
    return Ask(
        rid=fields.whole("rid", MAX_ID),
        id=fields.whole("id", MAX_ID),
        agent=fields.text("agent", MAX_NAME),
        body=conversation.body(fields.inner("body")),
    )


def _proto(fields: Fields) -> None:
    if fields.whole("proto", MAX_ID) != PROTO:
        raise fields.wrong("proto", f"is not {PROTO}")


def _error(fields: Fields) -> Error | None:
    inner = fields.optional("error", fields.inner)
    if inner is None:
        return None
    kind = inner.choice("kind", ("environment", "model"))
    error = Error(kind, plain(inner.text("text", MAX_TEXT)))
    inner.finish()
    return error
