"""The client that trainers outside the hub use."""

from typing import Any

from openenv.core import EnvClient
from openenv.core.client_types import StepResult
from openenv.core.env_server.types import State

from .models import QueueAction, QueueObservation


class QueueEnv(EnvClient[QueueAction, QueueObservation, State]):
    """Plays over a WebSocket."""

    def _step_payload(self, action: QueueAction) -> dict[str, Any]:
        return {"name": action.name}

    def _parse_result(self, payload: dict[str, Any]) -> StepResult[QueueObservation]:
        told = {"done": payload["done"], "reward": payload["reward"]}
        observation = QueueObservation(prompt=payload["observation"]["prompt"], **told)
        return StepResult(observation=observation, **told)

    def _parse_state(self, payload: dict[str, Any]) -> State:
        return State(**payload)
