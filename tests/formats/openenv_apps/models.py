"""Actions and observations."""

from typing import Literal

from openenv.core.env_server.types import Action, Observation
from pydantic import Field, field_validator


class Walk(Action):
    """Where to go."""

    direction: Literal["left", "right"]
    steps: int = Field(1, ge=1, le=9)

    @field_validator("steps")
    @classmethod
    def lucky(cls, steps: int) -> int:
        if steps == 7:
            raise ValueError("seven is unlucky")
        return steps


class Place(Observation):
    at: int
    wind: list[int]
    visit: int


class Said(Action):
    text: str


class Heard(Observation):
    text: str
