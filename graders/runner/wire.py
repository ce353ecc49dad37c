"""The runner's end of the stdio link, kept away from contributed code."""

import os
import sys
import threading
from functools import partial
from typing import Any, Self

from .frames import MAX_LOGS, MAX_TEXT, Frame, FrameError, FrameReader, encode

LOG_LIMIT = MAX_LOGS // 2


class Wire:
    """Frames to and from the worker. `send` and `log` may be called from any thread."""

    def __init__(self, source: int, sink: int) -> None:
        self._reader = FrameReader(partial(os.read, source))
        self._sink = sink
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._nonce = ""
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
        """The worker's next frame, without `nonce` and `seq`; None once it is gone."""
        frame = self._reader.read()
        if frame is None:
            return None
        nonce, seq = frame.pop("nonce"), frame.pop("seq")
        if frame["type"] == "start":
            self._nonce = nonce
        if nonce != self._nonce or seq != self._received:
            raise FrameError("a frame from the worker is out of order")
        self._received += 1
        return frame

    def send(self, kind: str, **keys: Any) -> None:
        """Send one frame. Raises FrameError, having sent nothing, if it is too large."""
        if os.getpid() != self._process:
            os._exit(1)  # A fork made by contributed code came back: only its parent may speak.
        with self._lock:
            data = encode({"type": kind, "nonce": self._nonce, "seq": self._sent, **keys})
            self._sent += 1
            self._write(data)

    def log(self, text: str, level: str = "warning") -> None:
        """Tell the worker something; past `LOG_LIMIT` lines nothing is sent."""
        self._logged += 1
        if self._logged <= LOG_LIMIT:
            self.send("log", level=level, text=text[:MAX_TEXT])

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._sink, view) :]
        except OSError:
            os._exit(1)  # The worker is gone.
