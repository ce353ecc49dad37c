"""What goes to and fro between the environment and who plays it."""

from pydantic import Field

from openenv.core.env_server.types import Action, Observation


class QueueAction(Action):
    """A guess."""

    name: str = Field(..., description="Who is first")


class QueueObservation(Observation):
    """The question, or what was wrong with the answer."""

    prompt: str = Field(default="", description="What to answer next")
