"""The runner's end of the stdio link, kept away from contributed code."""

import os
import select
import sys
import threading
import time
from functools import partial
from typing import Any, Self

from .frames import MAX_LOGS, MAX_TEXT, Frame, FrameError, FrameReader, encode

LOG_LIMIT = MAX_LOGS // 2
TOGETHER_S = 0.001  # between writes, while there is more to come


class Wire:
    """Frames to and from the worker. What sends may be called from any thread.

    `source` is the descriptor that they come from.
    """

    def __init__(self, source: int, sink: int) -> None:
        self.source = source
        self._reader = FrameReader(partial(os.read, source))
        self._sink = sink
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._nonce = ""
        self._unsent = bytearray()
        self._flushed = 0.0  # monotonic seconds
        self._sent = 0
        self._received = 0
        self._logged = 0

    @classmethod
    def claim(cls) -> Self:
        """Take standard input and output; whoever prints from now on prints to standard error.

        The private descriptors are not inherited by programs that contributed code starts.
        """
        source, sink = os.dup(0), os.dup(1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
        sys.stdout = sys.stderr
        return cls(source, sink)

    def receive(self) -> Frame | None:
        """The worker's next frame, without `nonce` and `seq`; None once it said bye, or is gone."""
        frame = self._reader.read()
        if frame is None:
            return None
        nonce, seq = frame.pop("nonce"), frame.pop("seq")
        if frame["type"] == "start":
            self._nonce = nonce
        if nonce != self._nonce or seq != self._received:
            raise FrameError("a frame from the worker is out of order")
        self._received += 1
        return None if frame["type"] == "bye" else frame

    def is_ready(self) -> bool:
        """Whether there is something to receive: a frame, the first part of one, or the end."""
        return self._reader.has_more() or bool(select.select([self.source], [], [], 0)[0])

    def send(self, kind: str, **keys: Any) -> None:
        """Send one frame. Raises FrameError, having sent nothing, if it is too large."""
        with self._lock:
            self._add(kind, keys)
            self._flush()

    def send_soon(self, kind: str, **keys: Any) -> None:
        """Send one frame, with the next `flush` if the last one was just now.

        Each write wakes the worker up, which takes longer than to make the frame.
        """
        with self._lock:
            self._add(kind, keys)
            if time.monotonic() - self._flushed > TOGETHER_S:
                self._flush()

    def flush(self) -> None:
        with self._lock:
            self._flush()

    def log(self, text: str, level: str = "warning") -> None:
        """Tell the worker something; past `LOG_LIMIT` lines nothing is sent."""
        self._logged += 1
        if self._logged <= LOG_LIMIT:
            self.send("log", level=level, text=text[:MAX_TEXT])

    def _add(self, kind: str, keys: dict[str, Any]) -> None:
        self._unsent += encode({"type": kind, "nonce": self._nonce, "seq": self._sent, **keys})
        self._sent += 1

    def _flush(self) -> None:
        if os.getpid() != self._process:
            os._exit(1)  # A fork made by contributed code came back: only its parent may speak.
        try:
            while self._unsent:
                del self._unsent[: os.write(self._sink, self._unsent)]
        except OSError:
            os._exit(1)  # The worker is gone.
        self._flushed = time.monotonic()
