"""Does what it is told, however bad."""

import os
import random
import time

from openenv.core.env_server.http_server import create_app
from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.types import State

from ..models import Heard, Said


class Faulty(Environment):
    def reset(self, **options: object) -> Heard:
        if "seed" in options:
            raise TypeError("what is a seed?")
        return Heard(text=f"Episode {random.random()}.")

    def step(self, action: Said) -> Heard:
        match action.text:
            case "raise":
                raise RuntimeError("as it was told")
            case "wrong":
                return Heard(text=1)
            case "hang":
                time.sleep(600)
            case "exit":
                os._exit(3)
        return Heard(text=action.text, reward=1.0, done=True)

    @property
    def state(self) -> State:
        return State()


app = create_app(Faulty, Said, Heard)
