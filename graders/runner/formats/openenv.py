"""OpenEnv: a web server of the environment's own, and one WebSocket session for each rollout.

The entry is the server's app, as openenv.yaml has it: "server.app:app". Another process imports it
and forks a server for each rollout (servers.py), so rollouts share neither module variables nor
random states. Task i is what reset gives for `seed` i (none, if it refuses one), with the `args` as
further options, in a process whose global random states depend on i; what follows depends on the
rollout's own seed. The reward is the sum of all that reset and the steps gave; none counts 0.

How the model acts follows from the server's schema of an action: see `Text`, `Structured`, `Tools`.
What is no action takes a turn and no step.
"""

import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

from ..attempts import Attempt, Message
from ..faults import BadEnvironment, LoadError
from ..scheduler import Condition
from ..servers import MODULES, Servers
from .base import Adapter, Outcome, messages, total
from .sessions import MAKE, Refused, Session, Step

SERVERS = 6  # at once: with the threads of each they fit into the sandbox's limit of processes
FIRST_S = 60.0  # for one answer of the server that is looked at while loading

SCHEMA = (
    "Each of your replies must be one JSON object that fits this JSON schema, and nothing else. "
    "It is the action that you take.\n"
)
NOTHING = "Nothing is to be seen."
REFUSED = "That was no action, so nothing happened. {}"
TRIES = 100  # places in a reply where an object may begin

# What the model says is data; these two do nothing else with it.
_decode = json.JSONDecoder().decode
_decode_first = json.JSONDecoder().raw_decode


@dataclass(frozen=True)
class Turn:
    """What came of one reply: messages for the model, and whether it was the last one."""

    messages: list[Message]
    reward: float
    is_last: bool


class OpenEnv(Adapter):
    """Servers of one app, at most `SERVERS` at once."""

    name = "openenv"
    needs = "a web app that openenv's create_app() made"
    package = "openenv"  # Once named openenv-core.
    imports = ("uvicorn.lifespan.on", "uvicorn.protocols.http.auto", "websockets.sync.client")
    is_served = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._changed, self._taken = Condition(), 0
        self._servers = Servers(self.source.first)
        with self._looking() as session:
            self._about = str(session.get("/metadata").get("description") or "Begin.")
            self._form = _form(session)
            self._servers.warm(session.get(MODULES)["modules"])
        self._takes_seed = self._may_be_seeded()

    @classmethod
    def recognise(cls, made: object) -> bool:
        return False  # Nothing that is made in the runner is one.

    def tasks(self) -> int | None:
        return None

    async def preview(self, attempt: Attempt) -> list[Message]:
        async with self._slot(attempt) as session:
            return (await attempt.aside(self._begin, session, attempt.task))[0]

    async def rollout(self, attempt: Attempt) -> Outcome:
        async with self._slot(attempt) as session:
            conversation, first = await attempt.aside(self._begin, session, attempt.task)
            rewards, is_over = [first.reward], first.is_last
            while not is_over and len(rewards) <= attempt.max_turns:
                body = {"messages": conversation, "tools": self._form.tools}
                said = (await attempt.complete(body))["choices"][0]["message"]
                turn = await attempt.aside(self._form.turn, session, said)
                conversation = [*conversation, said, *turn.messages]
                rewards.append(turn.reward)
                is_over = turn.is_last
        return Outcome(total(rewards, self.reward_range), len(rewards) - 1)

    def _begin(self, session: "Session", task: int) -> tuple[list[Message], Step]:
        seed = {"seed": task} if self._takes_seed else {}
        step = session.reset({**self.source.args, **seed})
        seen = _seen(step.observation) or messages(self._about)
        return [*self._form.opening, *seen], step

    def _may_be_seeded(self) -> bool:
        """Whether reset takes a seed. A server drops what reset does not name; some still raise.

        Raises LoadError if it raises without one as well.
        """
        try:
            with self._looking() as session:
                session.reset({**self.source.args, "seed": 0})
            return True
        except BadEnvironment as error:
            refused = str(error)
        with self._looking() as session:
            try:
                session.reset(self.source.args)
            except BadEnvironment as error:
                raise LoadError(refused) from error
        self.log(f"It gets no seed, because with one {refused}")
        return False

    @contextmanager
    def _looking(self) -> Iterator[Session]:
        """A session while loading, when nothing else runs yet."""
        server = self._servers.start(0, 0)
        try:
            yield Session(server, FIRST_S)
        finally:
            self._servers.stop(server)

    @asynccontextmanager
    async def _slot(self, attempt: Attempt) -> AsyncIterator[Session]:
        """A session of the attempt's own, once there is room for its server."""
        await self._changed.wait_for(lambda: self._taken < SERVERS)
        self._taken += 1
        try:
            server = await attempt.aside(self._servers.start, attempt.task, attempt.seed)
            try:
                yield await attempt.aside(Session, server, attempt.call_s)
            finally:
                await attempt.aside(self._servers.stop, server)
        finally:
            self._taken -= 1
            self._changed.notify_all()


class Form(ABC):
    """How the model acts. `opening` begins the conversation, `tools` go with each request."""

    opening: Sequence[Message] = ()
    tools: Sequence[Mapping[str, Any]] = ()

    @abstractmethod
    def turn(self, session: Session, said: Message) -> Turn:
        """Let what the model said happen."""


class Typed(Form):
    """The reply becomes one action."""

    def turn(self, session: Session, said: Message) -> Turn:
        try:
            step = session.step(self.action(str(said["content"] or "")))
        except Refused as refused:
            return Turn(messages(REFUSED.format(refused)), 0.0, refused.is_over)
        return Turn(_seen(step.observation) or messages(NOTHING), step.reward, step.is_last)

    @abstractmethod
    def action(self, text: str) -> dict[str, Any]:
        """The action that a reply is. Raises Refused."""


class Text(Typed):
    """An action of one field, which is text: the whole reply."""

    def __init__(self, name: str) -> None:
        self._name = name

    def action(self, text: str) -> dict[str, Any]:
        return {self._name: text}


class Structured(Typed):
    """Any other action: the last JSON object of the reply. The model is shown the schema."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self.opening = [{"role": "system", "content": f"{SCHEMA}{_text(schema)}"}]

    def action(self, text: str) -> dict[str, Any]:
        found, end = None, 0
        for brace in islice(re.finditer("{", text), TRIES):
            if brace.start() >= end:
                with suppress(ValueError, RecursionError):
                    found, end = _decode_first(text, brace.start())
        if found is None:
            raise Refused("The reply has no JSON object in it.")
        return dict(found)


class Tools(Form):
    """An MCP environment: each call of a tool is a step. A reply that calls none is the last."""

    def __init__(self, tools: Sequence[Mapping[str, Any]]) -> None:
        self.tools = tools

    def turn(self, session: Session, said: Message) -> Turn:
        told: list[Message] = []
        rewards, is_over = [0.0], not said.get("tool_calls")
        for call in said.get("tool_calls") or ():
            text, step = _called(session, call["function"])
            told.append({"role": "tool", "tool_call_id": call["id"], "content": text})
            if step is None:
                continue
            rewards.append(step.reward)
            if is_over := step.is_last:
                break
        return Turn(told, math.fsum(rewards), is_over)


def _called(session: Session, function: Mapping[str, str]) -> tuple[str, Step | None]:
    """What a tool answered, for the model, and the step that its call was, if it was one."""
    try:
        arguments = _decode(function["arguments"] or "{}")
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        return "Error: the arguments are not a JSON object.", None
    action = {"type": "call_tool", "tool_name": function["name"], "arguments": arguments}
    try:
        step = session.step(action)
    except Refused as refused:
        return f"Error: {refused}", None
    return _result(step.observation), step


def _result(observation: Mapping[str, Any]) -> str:
    """What a tool answered: its error, or its texts, or whatever else it is."""
    error, result = observation.get("error"), observation.get("result", observation)
    if isinstance(error, dict):
        return f"Error: {error.get('message')}"
    if isinstance(result, dict) and isinstance(content := result.get("content"), list):
        result = "\n".join(_text(one.get("text", one)) for one in content)
    return _text(result)


def _form(session: Session) -> Form:
    """How the model acts, by what the server says. Raises LoadError if it does not say it."""
    schema = session.get("/schema").get("action")
    if not isinstance(schema, dict):
        raise LoadError(f"Its server does not say at /schema what an action is. {MAKE}")
    fields = {name: one for name, one in schema.get("properties", {}).items() if name != "metadata"}
    if not fields or fields.get("type", {}).get("const") in ("call_tool", "list_tools"):
        with suppress(Refused, BadEnvironment):
            if tools := session.step({"type": "list_tools"}).observation.get("tools"):
                return Tools([_tool(one) for one in tools])
    if len(fields) == 1 and _is_text(*fields.values()):
        return Text(*fields)
    return Structured(_plain({**schema, "properties": fields}))


def _tool(told: Mapping[str, Any]) -> dict[str, Any]:
    named = {"name": told["name"], "description": told["description"]}
    return {"type": "function", "function": {**named, "parameters": told["input_schema"]}}


def _is_text(field: Mapping[str, Any]) -> bool:
    kinds = [one for one in field.get("anyOf", [field]) if one.get("type") != "null"]
    return all(one.get("type") == "string" and not {"enum", "const"} & one.keys() for one in kinds)


def _plain(schema: Any) -> Any:
    """A schema without what tells a model nothing: titles, and that nothing else is allowed."""
    if isinstance(schema, list):
        return [_plain(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    noise = {"title": str, "additionalProperties": bool}
    kept = {key: one for key, one in schema.items() if not isinstance(one, noise.get(key, ()))}
    return {key: _plain(one) for key, one in kept.items()}


def _seen(observation: Mapping[str, Any]) -> list[Message]:
    """An observation as the model gets it; nothing if there is nothing in it."""
    found = [one for one in observation.values() if one is not None]
    text = _text(found[0] if len(found) == 1 else observation)
    return messages(text) if found and text else []


def _text(value: Any) -> str:
    """Text as it is, anything else as compact JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
