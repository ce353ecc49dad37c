"""One WebSocket session with a server of OpenEnv, spoken to as its own client would."""

import http.client
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from .. import imports
from ..faults import BadEnvironment, LoadError, shown
from ..frames import MAX_FRAME
from ..isolation import CallTimeout
from ..servers import HOST, Server
from .base import number

HIDDEN = ("reward", "done", "metadata")  # of an observation, from the model
MAKE = "Make its app with create_app() of openenv or openenv-core, 0.2 or newer."
# What a server of OpenEnv fails with, and ends the session, where a validator of an action's own
# raised a ValueError: it cannot put that into its answer.
UNSENDABLE = "Unable to serialize unknown type"

_decode = json.JSONDecoder().decode


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
