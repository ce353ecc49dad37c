"""A wheel's METADATA, read from as little of the wheel as it takes.

Indexes that do not offer it beside the wheel are common, and a wheel may have a gigabyte.
"""

import io
import re
import zipfile
from collections.abc import Callable
from typing import BinaryIO

from graders.bundling.wheels import DAMAGE, LISTING

METADATA = re.compile(r"[^/]+\.dist-info/METADATA")
METADATA_LIMIT = 16 << 20  # bytes
NEAR = 1 << 16  # bytes that are fetched at once


class Remote(io.RawIOBase):
    """A file that lies elsewhere: its end is at hand, `fetch(start, stop)` gives other bytes."""

    def __init__(self, size: int, end: bytes, fetch: Callable[[int, int], bytes]) -> None:
        self._size = size
        self._end = end
        self._fetch = fetch
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if at < 0:
            raise OSError("before the beginning")
        self._at = at
        return at

    def readinto(self, into: memoryview, /) -> int:  # type: ignore[override]
        stop = min(self._at + len(into), self._size)
        if stop - self._at > LISTING:
            raise zipfile.BadZipFile("the list of its members is too large")
        data = self._bytes(self._at, stop) if stop > self._at else b""
        if len(data) != max(0, stop - self._at):
            raise OSError("another part than was asked for")
        into[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _bytes(self, start: int, stop: int) -> bytes:
        before = self._size - len(self._end)
        if start >= before:
            return self._end[start - before : stop - before]
        return self._fetch(start, stop)


def metadata(wheel: BinaryIO) -> bytes:
    """The METADATA of an open wheel. Raises LookupError if it has none."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            (name,) = filter(METADATA.fullmatch, archive.namelist())
            if archive.getinfo(name).file_size > METADATA_LIMIT:
                raise LookupError("its METADATA is too large")
            return archive.read(name)
    except (*DAMAGE, OSError) as error:
        raise LookupError("it has no METADATA that can be read") from error
