"""Four people in alphabetical order: who is first? A second try earns half."""

import random
import re
from typing import Any
from uuid import uuid4

from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.types import State

try:
    from ..models import QueueAction, QueueObservation
except ImportError:
    from models import QueueAction, QueueObservation

NAMES = (
    *("Adam", "Alma", "Bela", "Boris", "Clara", "Carl", "Dina", "Emil", "Erika", "Fritz", "Greta"),
    *("Hanna", "Igor", "Jonas", "Julia", "Karin", "Lars", "Lea", "Mara", "Nils", "Olga", "Paula"),
    *("Rita", "Simon", "Tina", "Uwe", "Vera", "Willi", "Yara", "Zeno"),
)


class QueueEnvironment(Environment):
    """One queue for each episode."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self) -> None:
        super().__init__()
        self._state = State(episode_id=str(uuid4()), step_count=0)
        self._people: list[str] = []

    def reset(
        self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any
    ) -> QueueObservation:
        """Ask who is first of four people; the same ones for the same seed."""
        self._state = State(episode_id=episode_id or str(uuid4()), step_count=0)
        self._people = random.Random(seed).sample(NAMES, 4)
        return QueueObservation(
            prompt=f"{', '.join(self._people)} queue in alphabetical order. Who is first? "
            "Answer with one name."
        )

    def step(
        self, action: QueueAction, timeout_s: float | None = None, **kwargs: Any
    ) -> QueueObservation:
        """Take an answer; it has to name exactly one of the four."""
        self._state.step_count += 1
        said = {one for one in self._people if re.search(rf"\b{one}\b", action.name, re.I)}
        if said == {min(self._people)}:
            earned = 1.0 if self._state.step_count == 1 else 0.5
            return QueueObservation(prompt="That is right.", reward=earned, done=True)
        is_over = self._state.step_count == 2
        return QueueObservation(prompt="No. Try once more.", reward=0.0, done=is_over)

    @property
    def state(self) -> State:
        """How far the episode is."""
        return self._state
