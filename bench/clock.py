"""When a way of carrying out rollouts came to which point. Standard library only."""

import json
import sys
import time
from typing import Any


class Clock:
    """Marks: monotonic seconds, the same for all processes, and this one's processor seconds."""

    def __init__(self) -> None:
        self.marks: dict[str, tuple[float, float]] = {}

    def mark(self, name: str) -> None:
        self.marks[name] = (time.monotonic(), time.process_time())

    def tell(self, **more: Any) -> None:
        """Print all of it, for the process that measures."""
        json.dump({"marks": self.marks, **more}, sys.stdout)
