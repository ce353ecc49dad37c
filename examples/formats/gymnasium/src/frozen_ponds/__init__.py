"""FrozenLake with a random pond for every environment that is made."""

import random

import gymnasium
from gymnasium.envs.toy_text.frozen_lake import generate_random_map


def make(size: int = 4, is_slippery: bool = False) -> gymnasium.Env:
    """The environment. The pond comes from the global `random`, which is the task's own here."""
    pond = generate_random_map(size=size, seed=random.randrange(2**31))
    return gymnasium.make("FrozenLake-v1", desc=pond, is_slippery=is_slippery)
