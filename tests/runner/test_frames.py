"""Bytes that are no frames, and values that cannot become one."""

import io
import json
import struct
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graders.runner.frames import (
    MAX_DEPTH,
    MAX_FRAME,
    MAX_INT,
    READ_AHEAD,
    FrameCut,
    FrameError,
    FrameReader,
    decode,
    encode,
)

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-MAX_INT, MAX_INT)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=[]), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=6,
)


def reader(data: bytes, chunk: int = 1 << 16) -> FrameReader:
    stream = io.BytesIO(data)
    return FrameReader(lambda size: stream.read(min(size, chunk)))


def packed(payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + payload


@settings(max_examples=40, deadline=None)
@given(st.lists(st.dictionaries(st.text(), VALUES, max_size=3), max_size=3), st.integers(1, 9))
def test_what_is_sent_is_read(frames: list[dict[str, Any]], chunk: int) -> None:
    source = reader(b"".join(map(encode, frames)), chunk)
    assert [source.read() for _ in frames] == frames
    assert source.read() is None


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"a": 1} 2', "not JSON"),
        (b"[]", "not an object but list"),
        (b"1", "not an object but int"),
        (b'"a"', "not an object but str"),
        (b"null", "not an object but NoneType"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": Infinity}', "Infinity"),
        (b'{"a": -Infinity}', "-Infinity"),
        (b'{"a": 1e999}', "not a finite number"),
        (b'{"a": [{"b": -1e999}]}', "not a finite number"),
        (b'{"a": 1, "a": 2}', "a key twice"),
        (b'{"a": {"b": 1, "\\u0062": 2}}', "a key twice"),
        (b'{"a": 9223372036854775808}', "beyond 64 bits"),
        (b'{"a": ' + b"9" * 4000 + b"}", "beyond 64 bits"),
        (b'{"a": ' + b"9" * 100_000 + b"}", "not JSON"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b'{"a": "\xed\xa0\x80"}', "not UTF-8"),
        (b'{"a": "\xc0\x80"}', "not UTF-8"),
        (b'\xef\xbb\xbf{"a": 1}', "not JSON"),
        (b'{"a": "\n"}', "not JSON"),
        (b'{"a": ' + b"[" * 32 + b"]" * 32 + b"}", "nested deeper than 32"),
        (b'{"a": ' + b"[" * 10**6 + b"]" * 10**6 + b"}", "nested deeper than 32"),
        (b'{"a":' * 10**5 + b"1" + b"}" * 10**5, "nested deeper than 32"),
    ],
    ids=lambda value: repr(value[:40]) if isinstance(value, bytes) else None,
)
def test_what_is_no_frame(payload: bytes, words: str) -> None:
    with pytest.raises(FrameError, match=words):
        decode(payload)
    with pytest.raises(FrameError, match=words):
        reader(packed(payload)).read()


def test_the_deepest_frame() -> None:
    value: Any = 1
    for _ in range(MAX_DEPTH - 1):
        value = [value]
    assert decode(encode({"a": value})[4:]) == {"a": value}


def test_the_largest_frame_and_one_byte_more() -> None:
    largest = b'{"a":"' + b"x" * (MAX_FRAME - 8) + b'"}'
    assert reader(packed(largest)).read() == json.loads(largest)
    asked: list[int] = []

    def receive(size: int) -> bytes:
        asked.append(size)
        return struct.pack(">I", MAX_FRAME + 1)

    with pytest.raises(FrameError, match="over the limit"):
        FrameReader(receive).read()
    assert asked == [READ_AHEAD], "no more may be read, or allocated, for one that is too large"


def test_many_small_frames_take_few_reads() -> None:
    frames = [{"a": number} for number in range(1000)]
    stream, asked = io.BytesIO(b"".join(map(encode, frames))), []

    def receive(size: int) -> bytes:
        asked.append(size)
        return stream.read(size)

    many = FrameReader(receive)
    assert [many.read() for _ in range(1001)] == [*frames, None]
    assert asked == [READ_AHEAD] * 2


@pytest.mark.parametrize("cut", [1, 3, 4, 5, 11])
def test_a_stream_that_ends_inside_a_frame(cut: int) -> None:
    with pytest.raises(FrameCut):
        reader(encode({"a": 1234})[:cut]).read()


def test_a_stream_that_ends_after_a_length_of_four() -> None:
    with pytest.raises(FrameCut):
        reader(struct.pack(">I", 4)).read()


def test_bytes_that_come_one_by_one_take_no_more_than_their_size() -> None:
    payload = b'{"a":"' + b"xy" * 200_000 + b'"}'
    source = reader(packed(payload), 2)
    tracemalloc.start()
    try:
        source.read()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6 * len(payload)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (float("nan"), "not a finite number"),
        (float("inf"), "not a finite number"),
        (2**63, "beyond 64 bits"),
        (-(2**63), "beyond 64 bits"),
        ({1: 2}, "keys must be text"),
        ({1, 2}, "set cannot be sent"),
        (b"a", "bytes cannot be sent"),
        ("x" * MAX_FRAME, "over the limit"),
        ("\0" * (MAX_FRAME // 4), "over the limit"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_cannot_be_sent(value: Any, words: str) -> None:
    with pytest.raises(FrameError, match=words):
        encode({"a": value})


def test_a_cycle_cannot_be_sent() -> None:
    cycle: dict[str, Any] = {}
    cycle["a"] = cycle
    with pytest.raises(FrameError, match="nested deeper"):
        encode(cycle)
