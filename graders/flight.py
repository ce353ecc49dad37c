"""One rollout under way, as the worker sees it: its transcript, what it used, how it ended."""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graders.conversation import Message
from graders.fields import ProtocolError
from graders.protocol import Ask, Result
from graders.replies import COUNTS, Reply

CALL_MARGIN = 2  # calls over max_turns
TRANSCRIPT_LIMIT = 4 << 20  # characters of one rollout
CANCEL_S = 10.0  # for the runner to leave a cancelled rollout


@dataclass(frozen=True)
class Request:
    """Rollout `number` of a task; `seed` is a non-negative int below 2**63."""

    task: int
    number: int
    seed: int


@dataclass
class RolloutResult:
    """How one rollout ended: with a reward, or with an `error_kind` and no reward.

    Kinds: "environment" (its code failed or used too much), "model" (no answer to be had),
    "context" (the conversation outgrew the model's context).

    `messages` is the worker's own transcript: what the model said has `finish_reason` and `usage`
    (dict or None), and `tools` where those offered are not the ones of the reply before; everything
    else came from the environment. A message with `replaces_from` k follows the first k messages of
    the conversation before it; the environment dropped the rest. Where several seats play, each
    message has the `agent` whose conversation it is in.

    Times in seconds, model included; tokens are None if the server did not count them; `truncated`
    says that a reply hit its token limit.
    """

    task: int
    number: int
    seed: int
    reward: float | None
    per_agent: dict[str, float]
    metrics: dict[str, float]
    turns: int
    messages: list[dict[str, Any]]
    error_kind: str | None
    error_text: str
    tokens_in: int | None
    tokens_out: int | None
    truncated: bool
    seconds: float
    model_seconds: float


@dataclass(frozen=True)
class Caps:
    """What one rollout may use; `seconds` without the model's share."""

    turns: int
    tokens: int
    seconds: float


class Flight:
    """A rollout from `run` to its result. `over` says in words which cap it broke, if any."""

    def __init__(self, number: int, request: Request, caps: Caps) -> None:
        self.number = number
        self.over: str | None = None
        self.cancelled: float | None = None
        self._request = request
        self._caps = caps
        self._began = time.monotonic()
        self._asked: float | None = None
        self._model_s = 0.0
        self._asks = 0
        self._agent = ""
        self._contexts: dict[str, list[Message]] = {}
        self._offered: dict[str, list[dict[str, Any]]] = {}
        self._tools: list[dict[str, Any]] = []
        self._transcript: list[dict[str, Any]] = []
        self._replaces_from: int | None = None
        self._characters = 0
        self._replies: list[Reply] = []
        self._failed: tuple[str, str] | None = None

    def ask(self, asked: Ask) -> None:
        """Note a question to the model; sets `over` if it is one too many."""
        if self._asked is not None and self.cancelled is None:
            raise ProtocolError(f"The runner asked twice at once for rollout {self.number}.")
        self._asks += 1
        if self._asks > self._caps.turns + 2 * CALL_MARGIN:
            raise ProtocolError(f"The runner asks on and on for rollout {self.number}.")
        if self.cancelled is not None:
            return
        self._asked = time.monotonic()
        self._record(asked)
        if self._asks > self._caps.turns + CALL_MARGIN:
            self.over = f"It called the model more than {self._caps.turns + CALL_MARGIN} times."
        if self._characters > TRANSCRIPT_LIMIT:
            self.over = f"Its prompts have more than {TRANSCRIPT_LIMIT} characters together."

    def call_seed(self) -> int:
        """The sampling seed of the newest question, below 2**31."""
        text = f"{self._request.seed}:{self._asks - 1}".encode()
        return int.from_bytes(hashlib.sha256(text).digest()[:4]) >> 1

    def answer(self, completion: Mapping[str, Any]) -> dict[str, Any]:
        """Note the model's answer; returns what the runner gets. Raises ModelUnavailable."""
        reply = Reply.read(completion)
        self._heard()
        self._replies.append(reply)
        said = reply.message()
        self._contexts[self._agent].append(said)
        told: dict[str, Any] = {"finish_reason": reply.finish_reason, "usage": reply.usage}
        if self._tools != self._offered.get(self._agent, []):
            told["tools"] = self._offered[self._agent] = self._tools
        self._append({**said, **told})
        used = sum(self._tokens(name) or 0 for name in COUNTS)
        if used > self._caps.tokens:
            self.over = f"It used more than {self._caps.tokens} tokens."
        return reply.body()

    def fail(self, kind: str, text: str) -> None:
        """Note that the model gave no answer; this decides how the rollout ends."""
        self._heard()
        self._failed = (kind, text)

    def is_late(self) -> bool:
        """Whether it used up its time; if so, sets `over`."""
        late = time.monotonic() - self._began - self._model_seconds() > self._caps.seconds
        if late and self.cancelled is None:
            self.over = (
                f"It took more than {self._caps.seconds:g} s, the model's share not counted."
            )
        return late and self.cancelled is None

    def is_stuck(self) -> bool:
        """Whether it was cancelled and the runner did not leave it."""
        return self.cancelled is not None and time.monotonic() - self.cancelled > CANCEL_S

    def cancel(self) -> RolloutResult:
        """Give up on it because of `over`."""
        self.cancelled = time.monotonic()
        return self._result(error=("environment", self.over or "It was cancelled."))

    def land(self, result: Result) -> RolloutResult:
        """The rollout's result by the runner's word. Raises ProtocolError for a false one."""
        error = result.error
        if self.cancelled is None:
            if self._asked is not None:
                raise ProtocolError(f"Rollout {self.number} ended while the model was answering.")
            if error is not None and error.kind == "model" and self._failed is None:
                raise ProtocolError(f"Rollout {self.number} blames the model, which answered.")
            if result.turns > len(self._replies):
                raise ProtocolError(
                    f"Rollout {self.number} claims {result.turns} turns; the model gave "
                    f"{len(self._replies)} replies."
                )
        if self._failed is not None:
            return self._result(error=self._failed)
        if error is not None:
            return self._result(error=(error.kind, error.text))
        return self._result(landed=result)

    def seconds(self) -> tuple[float, float]:
        """Seconds so far: all, and the model's share."""
        return time.monotonic() - self._began, self._model_seconds()

    def _result(
        self,
        *,
        landed: Result | None = None,
        error: tuple[str, str] | None = None,
    ) -> RolloutResult:
        kind, text = error or (None, "")
        every, model = self.seconds()
        return RolloutResult(
            task=self._request.task,
            number=self._request.number,
            seed=self._request.seed,
            reward=landed.reward if landed else None,
            per_agent=landed.per_agent if landed else {},
            metrics=landed.metrics if landed else {},
            turns=landed.turns if landed else len(self._replies),
            messages=self._transcript,
            error_kind=kind,
            error_text=text,
            tokens_in=self._tokens("prompt_tokens"),
            tokens_out=self._tokens("completion_tokens"),
            truncated=any(reply.finish_reason == "length" for reply in self._replies),
            seconds=every,
            model_seconds=model,
        )

    def _record(self, asked: Ask) -> None:
        """Add to the transcript what is new in a conversation."""
        messages: list[Message] = asked.body["messages"]
        self._agent, self._tools = asked.agent, asked.body.get("tools", [])
        context = self._contexts.get(asked.agent, [])
        pairs = zip(context, messages, strict=False)
        same = next((at for at, (old, new) in enumerate(pairs) if old != new), None)
        if same is None:
            same = min(len(context), len(messages))
        if same < len(context):
            self._replaces_from = same
        for message in messages[same:]:
            self._append(dict(message))
        self._contexts[asked.agent] = list(messages)
        if self._tools != self._offered.get(asked.agent, []):
            self._characters += len(json.dumps(self._tools))

    def _append(self, message: dict[str, Any]) -> None:
        if self._agent:
            message["agent"] = self._agent
        if self._replaces_from is not None:
            message["replaces_from"], self._replaces_from = self._replaces_from, None
        self._transcript.append(message)
        self._characters += _length(message)

    def _heard(self) -> None:
        self._model_s = self._model_seconds()
        self._asked = None

    def _model_seconds(self) -> float:
        waiting = 0.0 if self._asked is None else time.monotonic() - self._asked
        return self._model_s + waiting

    def _tokens(self, name: str) -> int | None:
        if any(reply.usage is None for reply in self._replies):
            return None
        return sum(reply.usage[name] for reply in self._replies if reply.usage is not None)


def _length(message: Message) -> int:
    """Characters of a message that its author chose the number of."""
    calls = message.get("tool_calls", ())
    return len(message["content"]) + sum(len(call["function"]["arguments"]) for call in calls)
