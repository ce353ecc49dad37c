"""OpenEnv: a web server of the environment's own, and one WebSocket session for each rollout.

The entry is the server's app, as openenv.yaml has it: "server.app:app". Another process imports it
and forks a server for each rollout (servers.py), so rollouts share neither module variables nor
random states. Task i is what reset gives for `seed` i (none, if it refuses one), with the `args` as
further options, in a process whose global random states depend on i; what follows depends on the
rollout's own seed. The reward is the sum of all that reset and the steps gave; none counts 0.

How the model acts follows from the server's schema of an action: see `Text`, `Structured`, `Tools`.
What is no action takes a turn and no step.
"""

import http.client
import json
import math
import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

from .. import imports
from ..attempts import Attempt, Message
from ..faults import BadEnvironment, LoadError, shown
from ..frames import MAX_FRAME
from ..isolation import CallTimeout
from ..servers import HOST, MODULES, Server, Servers
from .base import Adapter, Outcome, messages, number, total

SERVERS = 6  # at once: with the threads of each they fit into the sandbox's limit of processes
FIRST_S = 60.0  # for one answer of the server that is looked at while loading

HIDDEN = ("reward", "done", "metadata")  # of an observation, from the model
SCHEMA = (
    "Each of your replies must be one JSON object that fits this JSON schema, and nothing else. "
    "It is the action that you take.\n"
)
MAKE = "Make its app with create_app() of openenv or openenv-core, 0.2 or newer."
NOTHING = "Nothing is to be seen."
REFUSED = "That was no action, so nothing happened. {}"
# What a server of OpenEnv fails with, and ends the session, where a validator of an action's own
# raised a ValueError: it cannot put that into its answer.
UNSENDABLE = "Unable to serialize unknown type"
TRIES = 100  # places in a reply where an object may begin

# What the model says is data; these two do nothing else with it.
_decode = json.JSONDecoder().decode
_decode_first = json.JSONDecoder().raw_decode


class Refused(Exception):
    """What was sent is no action; the message says why, `is_over` if that ended the session."""

    def __init__(self, why: str, *, is_over: bool = False) -> None:
        super().__init__(why)
        self.is_over = is_over


@dataclass(frozen=True)
class Step:
    """What reset or a step gave, checked; the observation is without `HIDDEN`."""

    observation: dict[str, Any]
    reward: float
    is_last: bool


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
    is_served = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._slots = threading.BoundedSemaphore(SERVERS)
        self._servers = Servers(self.source.first)
        with self._session(0, 0, FIRST_S) as session:
            self._about = str(session.get("/metadata").get("description") or "Begin.")
            self._form = _form(session)
            self._servers.warm(session.get(MODULES)["modules"])
        self._takes_seed = self._may_be_seeded()

    @classmethod
    def recognise(cls, made: object) -> bool:
        return False  # Nothing that is made in the runner is one.

    def tasks(self) -> int | None:
        return None

    def preview(self, attempt: Attempt) -> list[Message]:
        with self._session(attempt.task, attempt.seed, attempt.call_s) as session:
            return self._begin(session, attempt.task)[0]

    def rollout(self, attempt: Attempt) -> Outcome:
        with self._session(attempt.task, attempt.seed, attempt.call_s) as session:
            conversation, first = self._begin(session, attempt.task)
            rewards, is_over = [first.reward], first.is_last
            while not is_over and len(rewards) <= attempt.max_turns:
                body = {"messages": conversation, "tools": self._form.tools}
                said = attempt.complete(body)["choices"][0]["message"]
                turn = self._form.turn(session, said)
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
            with self._session(0, 0, FIRST_S) as session:
                session.reset({**self.source.args, "seed": 0})
            return True
        except BadEnvironment as error:
            refused = str(error)
        with self._session(0, 0, FIRST_S) as session:
            try:
                session.reset(self.source.args)
            except BadEnvironment as error:
                raise LoadError(refused) from error
        self.log(f"It gets no seed, because with one {refused}")
        return False

    @contextmanager
    def _session(self, task: int, seed: int, answer_s: float) -> Iterator["Session"]:
        with self._slots:
            server = self._servers.start(task, seed)
            try:
                yield Session(server, answer_s)
            finally:
                self._servers.stop(server)


class Session:
    """One WebSocket session: an environment of its own, spoken to as OpenEnv's client would.

    Each answer may take `answer_s` seconds. Raises LoadError if the server has no sessions.
    """

    def __init__(self, server: Server, answer_s: float) -> None:
        self._port = server.port
        self._answer_s = answer_s
        self._errors = imports.module("websockets.exceptions").WebSocketException
        try:
            self._socket = imports.module("websockets.sync.client").connect(
                f"ws://{HOST}:{server.port}/ws",
                open_timeout=answer_s,
                ping_interval=None,
                compression=None,
                max_size=MAX_FRAME,
                proxy=None,
            )
        except (self._errors, OSError) as error:
            raise LoadError(f"Its server opens no WebSocket at /ws: {error}. {MAKE}") from error

    def get(self, path: str) -> dict[str, Any]:
        """The object at another address of the server; an empty one if there is none."""
        connection = http.client.HTTPConnection(HOST, self._port, timeout=self._answer_s)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            found = _decode(response.read(MAX_FRAME).decode()) if response.status == 200 else {}
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise BadEnvironment(f"Its server did not answer {path}: {error}.") from error
        finally:
            connection.close()
        return found if isinstance(found, dict) else {}

    def reset(self, options: Mapping[str, Any]) -> Step:
        return self._step("reset", options)

    def step(self, action: Mapping[str, Any]) -> Step:
        """Raises Refused for what is no action."""
        return self._step("step", action)

    def _step(self, kind: str, data: Mapping[str, Any]) -> Step:
        told = self._ask(kind, data)
        observation, reward = told.get("observation"), told.get("reward")
        if not isinstance(observation, dict):
            raise BadEnvironment(f"{kind} answered {shown(told)}, which has no observation.")
        return Step(
            observation={key: one for key, one in observation.items() if key not in HIDDEN},
            reward=0.0 if reward is None else number(reward, f"The reward of {kind}"),
            is_last=bool(told.get("done")),
        )

    def _ask(self, kind: str, data: Mapping[str, Any]) -> dict[str, Any]:
        text = json.dumps({"type": kind, "data": data}, ensure_ascii=False)
        try:
            # Half of a surrogate pair, which a model may say, is no UTF-8.
            self._socket.send(text.encode("utf-8", "replace").decode())
            answer = _decode(self._socket.recv(timeout=self._answer_s))
            told: dict[str, Any] = answer["data"]
            is_error = answer.get("type") == "error" and isinstance(told, dict)
        except TimeoutError as error:
            raise CallTimeout from error
        except self._errors as error:
            raise BadEnvironment(f"Its server ended the session in {kind}: {error}.") from error
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise BadEnvironment(f"What its server said to {kind} is not OpenEnv's.") from error
        if is_error:
            raise _failure(kind, told, data)
        return told


def _failure(kind: str, told: Mapping[str, Any], data: Mapping[str, Any]) -> Exception:
    """The exception for an error that the server told of what was sent."""
    message, code, errors = str(told.get("message")), told.get("code"), told.get("errors")
    if code == "VALIDATION_ERROR" and isinstance(errors, list):
        whys = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}." for one in errors]
        message = " ".join(whys)
        if kind == "step" and all(_is_about(data, one) for one in errors):
            return Refused(message)
    if kind == "step" and message.startswith(UNSENDABLE):
        return Refused("", is_over=True)
    return BadEnvironment(f"{kind} raised: {message}")


def _is_about(data: Mapping[str, Any], error: Mapping[str, Any]) -> bool:
    """Whether an error of pydantic is about a part of `data`, and not of what step itself made."""
    place: Any = data
    places = [place]
    for part in error["loc"]:
        with suppress(LookupError, TypeError):
            place = place[part]
            places.append(place)
    return error.get("input") in places


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
