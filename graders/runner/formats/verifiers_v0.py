"""Environments of verifiers v0: `load_environment(**args)` gives a `verifiers.Environment`.

Releases 0.1.8 to 0.3.1. Task i is row i of the evaluation data set, in its own order, or of the
training data set where there is no other: what verifiers' `evaluate` runs. A rollout is the
environment's own loop, scored by its rubric as a group of one; what the loop takes for OpenAI's
client asks the model. An error that verifiers keeps in the state, or that a reward function raises
and it would count as 0, is the rollout's. What the model does wrong with a tool is not: where the
environment ends a rollout for it, the rubric has the last word.
"""

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import nullcontext
from contextvars import ContextVar
from copy import deepcopy
from functools import lru_cache, partial
from typing import Any

from .. import imports
from ..attempts import Attempt, Message
from ..faults import LoadError, ModelError
from .base import Adapter, Outcome, finished, messages, metrics, number, total

MODEL = "policy"
FINISHES = ("stop", "length", "tool_calls", "content_filter")
REMOTE = {
    "JudgeRubric": "asks a second model",
    "SandboxEnv": "runs code in a remote sandbox",
    "CliAgentEnv": "runs an agent in a remote sandbox",
    "BrowserEnv": "drives a remote browser",
    "OpenEnvEnv": "starts a server (upload the OpenEnv environment itself)",
}
# In words that verifiers, of any release, takes for the end of the model's context: it then ends
# the conversation and scores it.
NO_MORE_TURNS = {"error": {"message": "This model's maximum context length is used up: max_turns."}}

HELD_BYTES = 8 << 20

# What reward functions raised in the rollout at hand.
_raised: ContextVar[list[Exception]] = ContextVar("raised")


class VerifiersV0(Adapter):
    """One environment object, shared by all rollouts, as in verifiers itself."""

    name = "verifiers-v0"
    needs = "load_environment() to return an Environment of verifiers, from a release below 0.4"
    package = "verifiers"
    pins = ("verifiers<0.4",)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._env = self.source.first
        _refuse(self._env)
        self._client, self._score = _client(), _scorer(self._env)
        _watch_rewards()
        _skip_tokens()
        _remember_signatures()
        self._rows = _rows(self._env.get_eval_dataset())

    @classmethod
    def recognise(cls, made: object) -> bool:
        return imports.is_made_by(made, "verifiers", "Environment")

    def tasks(self) -> int | None:
        if len(self._rows) == 0:
            raise LoadError("The environment's data set is empty.")
        return len(self._rows)

    async def preview(self, attempt: Attempt) -> list[Message]:
        return messages(self._row(attempt)["prompt"])

    async def rollout(self, attempt: Attempt) -> Outcome:
        row, seat = self._row(attempt), Seat(attempt)
        state = await attempt.drive(lambda: self._play(row, seat))
        reward = number(state.get("reward"), "The reward of the rubric")
        measures = metrics(state.get("metrics"))
        return Outcome(total([reward], self.reward_range), seat.turns, measures)

    def _row(self, attempt: Attempt) -> dict[str, Any]:
        """The task's row, the rollout's own to change."""
        if isinstance(self._rows, list):
            return deepcopy(self._rows[attempt.task])
        return attempt.pose(self._rows.__getitem__, attempt.task)

    async def _play(self, row: dict[str, Any], seat: "Seat") -> Mapping[str, Any]:
        """The scored state of one rollout. Raises what went wrong in it."""
        raised: list[Exception] = []
        _raised.set(raised)
        sampling = deepcopy(self._env.sampling_args)
        state: Mapping[str, Any] = await self._env.rollout(row, self._client(seat), MODEL, sampling)
        _check(state.get("error"))
        await self._score(state)
        for error in raised:
            _check(error)
        return state


class Seat:
    """Stands where verifiers expects an `openai.AsyncOpenAI`; the attempt's model answers.

    `turns` counts its answers.
    """

    base_url = ""

    def __init__(self, attempt: Attempt) -> None:
        self.turns = 0
        self._attempt = attempt
        self.chat = self.completions = self

    async def create(self, **body: Any) -> Any:
        """As `client.chat.completions.create`."""
        completion = imports.module("openai.types.chat").ChatCompletion
        return completion.model_validate(await self._answer(body))

    async def post(self, path: str, *, body: dict[str, Any], **_: Any) -> "Raw":
        """As `client.post`: 0.3 reads the answer's bytes itself."""
        return Raw(json.dumps(await self._answer(body)).encode())

    async def _answer(self, body: dict[str, Any]) -> dict[str, Any]:
        if self.turns == self._attempt.max_turns:
            raise _out_of_turns()
        reply = await self._attempt.acomplete(body)
        self.turns += 1
        return finished(reply, FINISHES)


class Raw:
    """A response's body, as httpx has it."""

    def __init__(self, content: bytes) -> None:
        self.content = content


def _out_of_turns() -> Exception:
    openai, httpx = imports.module("openai"), imports.module("httpx")
    request = httpx.Request("POST", "http://model/")
    response = httpx.Response(400, request=request, json=NO_MORE_TURNS)
    error: Exception = openai.BadRequestError("max_turns", response=response, body=None)
    return error


def _has_clients() -> bool:
    """Whether verifiers has client classes of its own; before 0.1.11 it uses OpenAI's."""
    try:
        imports.module("verifiers.clients")
    except LoadError:
        return False
    return True


def _rows(data: Any) -> Any:
    """The rows as `evaluate` has them, whatever format they are set to.

    Few are held: to read one from its table takes as long as the rest of a short rollout.
    """
    table = data.with_format(None)
    if table.data.nbytes > HELD_BYTES:
        return table
    columns = table[:]
    rows = zip(*columns.values(), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _client() -> Callable[[Seat], Any]:
    """Makes what verifiers takes for its client, around a seat."""
    if not _has_clients():
        return lambda seat: seat
    module = imports.module("verifiers.clients.openai_chat_completions_client")

    class Client(module.OpenAIChatCompletionsClient):  # type: ignore[misc,name-defined]
        """Takes an empty answer for an answer; verifiers would call it an error of the model."""

        async def raise_from_native_response(self, response: Any) -> None:
            pass

        async def from_native_response(self, response: Any) -> Any:
            made = await super().from_native_response(response)
            if made.message.content is None and not made.message.tool_calls:
                made.message.content = ""
            return made

    return Client


def _scorer(env: Any) -> Callable[[Any], Awaitable[None]]:
    """What scores one state in place, and cleans up after."""
    rubric = env.rubric
    scored = getattr(env, "score_rollouts", True)
    score = rubric.score_group if scored else rubric.dummy_score_group
    if scored and not _has_clients():
        score = partial(score, score_sem=nullcontext())

    async def run(state: Any) -> None:
        await score([state])
        if hasattr(rubric, "cleanup"):
            await rubric.cleanup(state)

    return run


def _watch_rewards() -> None:
    """Keep what reward functions raise: verifiers calls them all through this."""
    rubric = imports.module("verifiers.rubrics.rubric")
    call = rubric.maybe_await

    async def watched(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        name = getattr(function, "__name__", "a reward function")
        try:
            made = await call(function, *args, **kwargs)
            return made if isinstance(made, list) else number(made, f"What {name}() returned")
        except Exception as error:
            _raised.get().append(error)
            raise

    rubric.maybe_await = watched


def _skip_tokens() -> None:
    """Spare each turn the thread in which verifiers reads token ids: there are none."""

    async def none(*_: Any, **__: Any) -> None:
        return None

    imports.module("verifiers.envs.multiturn_env").parse_response_tokens = none


def _remember_signatures() -> None:
    """Spare each rollout twenty looks at signatures, a fifth of its time: they do not change."""
    for name in ("verifiers.utils.async_utils", "verifiers.rubrics.rubric"):
        module = imports.module(name)
        module.inspect = Inspect(module.inspect)


class Inspect:
    """The module of that name, which remembers."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self._signature = lru_cache(1024)(module.signature)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

    def signature(self, function: Any) -> Any:
        try:
            return self._signature(function)
        except TypeError:  # It has no hash.
            return self._module.signature(function)


def _check(error: Any) -> None:
    """Raise what ended a rollout, by its own cause, unless it is the model's use of a tool."""
    tool_errors = getattr(imports.module("verifiers"), "ToolError", ())
    if error is None or isinstance(error, tool_errors):
        return
    for cause in _causes(error):
        if isinstance(cause, ModelError):
            raise cause
    raise error.__cause__ if error.__cause__ and not str(error) else error


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _refuse(env: Any) -> None:
    """Raise LoadError for what cannot run here."""
    if not hasattr(env, "init_state"):
        raise LoadError("This release of verifiers is too old: use one from 0.1.8 to below 0.4.")
    for part in _parts(env):
        for name, does in REMOTE.items():
            if imports.is_made_by(part, "verifiers", name):
                raise LoadError(
                    f"{type(part).__name__} {does}. Environments run here without a network."
                )


def _parts(env: Any) -> Iterator[Any]:
    """An environment, those it is a group of, and all their rubrics."""
    yield env
    yield env.rubric
    yield from getattr(env.rubric, "rubrics", ())
    for inner in getattr(env, "envs", ()):
        yield from _parts(inner)
