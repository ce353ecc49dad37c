"""What a run's output is taken apart by, and what is kept of it."""

import struct

_HEADER = struct.Struct(">BxxxL")  # stream, length


class Demultiplexer:
    """Splits an attached Docker stream: pieces of both outputs, each after a header of 8 bytes."""

    def __init__(self) -> None:
        self._header = b""
        self._stream = 0
        self._left = 0  # bytes of the piece that the stream is in

    def split(self, data: bytes) -> tuple[bytes, bytes]:
        """The bytes of standard output and of standard error in what came next."""
        found: tuple[list[bytes], list[bytes]] = ([], [])
        at = 0
        while at < len(data):
            if not self._left:
                part = data[at : at + _HEADER.size - len(self._header)]
                self._header += part
                at += len(part)
                if len(self._header) == _HEADER.size:
                    self._stream, self._left = _HEADER.unpack(self._header)
                    self._header = b""
                continue
            part = data[at : at + self._left]
            found[self._stream != 1].append(part)
            self._left -= len(part)
            at += len(part)
        return b"".join(found[0]), b"".join(found[1])


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
