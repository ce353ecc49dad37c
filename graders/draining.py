"""A worker that was told to stop, as all of its processes see it.

The moment lies in memory that a pool's processes share with the one that the signal reaches, so
this module is imported before they are forked. Writing it is safe inside a signal handler.
"""

import mmap
import struct
import time

_moment = mmap.mmap(-1, 8)


def begin() -> None:
    """The worker was told to stop: take no more jobs."""
    if not is_on():
        _moment[:] = struct.pack("d", time.monotonic())


def is_on() -> bool:
    """Whether it was told to stop."""
    return seconds() is not None


def seconds() -> float | None:
    """How long ago it was told to stop, or None. One clock serves all processes of a machine."""
    (began,) = struct.unpack("d", _moment[:])
    return time.monotonic() - began if began else None
