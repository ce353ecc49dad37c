"""A job's log: what all its attempts said, within a limit. Pure."""

import threading

from graders.fields import clean

LIMIT = 64 * 1024  # characters
HEAD = 16 * 1024
GAP = "\n… a part of the log is left out here …\n"


class Log:
    """Lines as they come, from any thread. Beyond `LIMIT` its middle is left out.

    `before` is what is kept already; `is_new` says whether there is more since `text` was read.
    """

    def __init__(self, before: str = "") -> None:
        self._lock = threading.Lock()
        self._text = before
        self.is_new = False

    def add(self, line: str) -> None:
        """Add a line, or several; what cannot be stored is replaced."""
        if not line:
            return
        with self._lock:
            self._text = capped(f"{self._text}{clean(line).rstrip()}\n")
            self.is_new = True

    def text(self) -> str:
        """All of it."""
        with self._lock:
            self.is_new = False
            return self._text


def capped(text: str) -> str:
    """The text, or its head and its tail."""
    if len(text) <= LIMIT:
        return text
    tail = LIMIT - HEAD - len(GAP)
    return f"{text[:HEAD]}{GAP}{text[-tail:]}"
