"""A queue in alphabetical order, as an OpenEnv environment."""

from .client import QueueEnv
from .models import QueueAction, QueueObservation

__all__ = ["QueueAction", "QueueEnv", "QueueObservation"]
