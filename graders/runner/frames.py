"""Frames: a 4-byte big-endian length, then that many bytes of UTF-8 JSON, one object each.

Both sides use this module. It is strict both ways, because what one JSON reader takes for an error
another takes for a number: no NaN or infinity (1e999 neither), no duplicate key, no deep nesting,
no integer that a database could not store.
"""

import json
import math
import struct
from collections.abc import Callable
from typing import Any, NoReturn

Frame = dict[str, Any]

PROTO = 2  # what a worker and a runner must agree on
MAX_FRAME = 8 << 20  # bytes, without the length
MAX_DEPTH = 32
READ_AHEAD = 1 << 16  # bytes
MAX_INT = 2**63 - 1

# What the fields of a frame may hold; both sides refer to these.
ROLES = ("system", "user", "assistant", "tool")
CHOICES = ("auto", "none", "required")  # of tool_choice
MAX_MESSAGES = 1024
MAX_TOKENS = 10**6  # of one reply
MAX_CONTENT = 1 << 20  # characters of one message
MAX_CALLS = 64  # tool calls of one message
MAX_TOOLS = 256
MAX_SCHEMA = 1 << 18  # characters of all tools together, as JSON
MAX_STOPS = 16
MAX_METRICS = 64
MAX_AGENTS = 64
MAX_NAME = 100  # characters
MAX_CALL_ID = 200  # characters: servers make them, and some are long
MAX_TEXT = 4000  # characters of an error or a log line
MAX_LOGS = 1000  # log frames of one runner

_HEADER = struct.Struct(">I")


class FrameError(Exception):
    """Bytes that are no frame, or a value that cannot be sent as one."""


class FrameCut(FrameError):
    """The stream ended inside a frame."""


class FrameBuffer:
    """Takes bytes as they come and gives the frames that are complete.

    One buffer for all: kept apart, bytes that come one by one would take forty times their size.
    """

    def __init__(self) -> None:
        self._ahead = bytearray()

    def __bool__(self) -> bool:
        """Whether a part of the next frame, or all of it, is here."""
        return bool(self._ahead)

    def add(self, data: bytes) -> None:
        self._ahead += data

    def take(self) -> Frame | None:
        """The next frame, None until it is complete. Raises FrameError for what is no frame."""
        if len(self._ahead) < _HEADER.size:
            return None
        (length,) = _HEADER.unpack_from(self._ahead)
        if length > MAX_FRAME:
            raise FrameError(f"a frame of {length} bytes is over the limit of {MAX_FRAME}")
        end = _HEADER.size + length
        if len(self._ahead) < end:
            return None
        payload = bytes(self._ahead[_HEADER.size : end])
        del self._ahead[:end]
        return decode(payload)


class FrameReader:
    """Reads frames from `receive(n)`, which gives 1 to n bytes, or b"" at the end.

    It takes what there is, so that a small frame costs one call at most.
    """

    def __init__(self, receive: Callable[[int], bytes]) -> None:
        self._receive = receive
        self._buffer = FrameBuffer()

    def read(self) -> Frame | None:
        """The next frame, None at the end. Raises FrameError for anything that is not one."""
        while (frame := self._buffer.take()) is None:
            part = self._receive(READ_AHEAD)
            if not part and self._buffer:
                raise FrameCut("the stream ended inside a frame")
            if not part:
                return None
            self._buffer.add(part)
        return frame

    def has_more(self) -> bool:
        """Whether a part of the next frame, or all of it, is here already."""
        return bool(self._buffer)


def encode(frame: Frame) -> bytes:
    """A frame as bytes, length included. Raises FrameError if it breaks a rule of this module."""
    _check(frame, MAX_DEPTH)
    payload = _encode(frame).encode("ascii")
    if len(payload) > MAX_FRAME:
        raise FrameError(f"a frame of {len(payload)} bytes is over the limit of {MAX_FRAME}")
    return _HEADER.pack(len(payload)) + payload


def decode(payload: bytes) -> Frame:
    """The object in a frame's bytes (without the length). Raises FrameError."""
    try:
        frame = _decode(payload.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise FrameError(f"a frame is not UTF-8: {error.reason}") from error
    except RecursionError as error:
        raise FrameError(f"a frame is nested deeper than {MAX_DEPTH}") from error
    except ValueError as error:
        raise FrameError(f"a frame is not JSON: {error}") from error
    if not isinstance(frame, dict):
        raise FrameError(f"a frame is not an object but {type(frame).__name__}")
    _check(frame, MAX_DEPTH)
    return frame


def _check(value: object, depth: int) -> None:
    match value:
        case bool() | str() | None:
            return
        case int():
            if abs(value) > MAX_INT:
                raise FrameError("an integer is beyond 64 bits")
        case float():
            if not math.isfinite(value):
                raise FrameError(f"{value} is not a finite number")
        case dict() | list() | tuple():
            _check_inside(value, depth)
        case _:
            raise FrameError(f"{type(value).__name__} cannot be sent")


# Types whose values need no further look: the quick way for most of a frame.
_TEXT = frozenset({str})
_PLAIN = frozenset({str, bool, type(None)})
_NESTED = frozenset({dict, list, tuple})


def _check_inside(value: Any, depth: int) -> None:
    if depth == 0:
        raise FrameError(f"a frame is nested deeper than {MAX_DEPTH}")
    if isinstance(value, dict):
        if not (_TEXT.issuperset(map(type, value)) or all(isinstance(key, str) for key in value)):
            raise FrameError("an object's keys must be text")
        value = value.values()
    for item in value:
        kind = type(item)
        if kind in _NESTED:
            _check_inside(item, depth - 1)
        elif kind not in _PLAIN and not (kind is int and -MAX_INT <= item <= MAX_INT):
            _check(item, depth - 1)


def _unique(pairs: list[tuple[str, Any]]) -> Frame:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("an object has a key twice")
    return made


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")


# Bound before any contributed import, which could replace what the json module offers.
_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode
_decode = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant).decode
