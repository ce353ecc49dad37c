"""Bounded in-memory ends of a run's output."""

from collections import deque
from threading import Condition


class Buffer:
    """A bounded byte queue between the thread that drains a run and the one that reads it.

    A full buffer blocks its writer, so a slow reader slows the run instead of filling memory. After
    `discard` nothing is kept and no writer blocks, so that a run can always be drained and killed.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._chunks: deque[bytes] = deque()
        self._held = 0
        self._closed = False
        self._discarding = False
        self._changed = Condition()

    def put(self, data: bytes) -> None:
        """Add bytes, waiting while the buffer is full."""
        with self._changed:
            self._changed.wait_for(lambda: self._held < self._size or self._discarding)
            if not self._discarding:
                self._chunks.append(data)
                self._held += len(data)
                self._changed.notify_all()

    def get(self, n: int) -> bytes:
        """Between 1 and `n` bytes, waiting for the first; b"" once closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._chunks or self._closed)
            if not self._chunks:
                return b""
            chunk = self._chunks.popleft()
            if len(chunk) > n:
                self._chunks.appendleft(chunk[n:])
                chunk = chunk[:n]
            self._held -= len(chunk)
            self._changed.notify_all()
            return chunk

    def discard(self) -> None:
        """Drop whatever arrives from now on; what is held can still be read."""
        with self._changed:
            self._discarding = True
            self._changed.notify_all()

    def close(self) -> None:
        """No more bytes will come."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class HeadTail:
    """The first and the last half of `size` bytes of a stream of any length; `total` counts it."""

    def __init__(self, size: int) -> None:
        self._half = max(1, size // 2)
        self._head = bytearray()
        self._tail = bytearray()
        self.total = 0

    def add(self, data: bytes) -> None:
        """Add bytes; the middle of a long stream is dropped."""
        self.total += len(data)
        room = self._half - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        del self._tail[: -self._half]

    def text(self) -> str:
        """What was kept as text, with a line that counts what was dropped."""
        dropped = self.total - len(self._head) - len(self._tail)
        middle = f"\n[... {dropped} bytes dropped ...]\n".encode() if dropped else b""
        return (bytes(self._head) + middle + bytes(self._tail)).decode("utf-8", "replace")
