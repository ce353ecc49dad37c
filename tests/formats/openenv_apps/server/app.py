"""Typed actions, global random states, and a reset that takes no seed."""

import random

import numpy
from openenv.core.env_server.http_server import create_app
from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.types import State
from walks.models import Place, Walk

VISITS: list[int] = []


class Walks(Environment):
    def __init__(self) -> None:
        super().__init__()
        VISITS.append(1)
        self._at = self._turns = 0

    def reset(self) -> Place:
        self._at = random.randrange(-5, 6)
        return self._place()

    def step(self, action: Walk) -> Place:
        self._turns += 1
        self._at += action.steps * (1 if action.direction == "right" else -1)
        self._at += random.choice((-1, 0, 1))
        reward = None if self._turns == 1 else random.random()
        return self._place(reward=reward, done=self._turns == 3)

    def _place(self, **told: object) -> Place:
        wind = [int(one) for one in numpy.random.randint(0, 9, 3)]
        return Place(at=self._at, wind=wind, visit=len(VISITS), **told)

    @property
    def state(self) -> State:
        return State(step_count=self._turns)


app = create_app(Walks, Walk, Place, env_name="walks")
