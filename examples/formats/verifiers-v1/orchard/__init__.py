"""Jobs in an orchard: one turn, several turns, or tools."""

from orchard.env import OrchardEnv
from orchard.taskset import OrchardTaskset

__all__ = ["OrchardEnv", "OrchardTaskset"]
