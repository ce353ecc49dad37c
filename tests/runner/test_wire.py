"""The runner's end of the link: what is written at once, and what is written together."""

import os
import time
from collections.abc import Iterator

import pytest

from graders.runner import wire
from graders.runner.frames import FrameError, FrameReader
from graders.runner.wire import TOGETHER_S, Wire


class End:
    """A wire, and what came out of it."""

    def __init__(self) -> None:
        self._source, self._sink = os.pipe()
        os.set_blocking(self._source, False)
        self.wire = Wire(os.open(os.devnull, os.O_RDONLY), self._sink)

    def came(self) -> list[str]:
        def receive(size: int) -> bytes:
            try:
                return os.read(self._source, size)
            except BlockingIOError:
                return b""

        reader, found = FrameReader(receive), []
        while (frame := reader.read()) is not None:
            found.append(frame["type"])
        return found


@pytest.fixture
def end() -> Iterator[End]:
    yield End()


def test_what_follows_at_once_waits_for_the_flush(
    end: End, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "TOGETHER_S", 60.0)  # whatever else this machine is busy with
    end.wire.send_soon("first")
    assert end.came() == ["first"]
    for _ in range(3):
        end.wire.send_soon("more")
    assert end.came() == []
    end.wire.flush()
    assert end.came() == ["more"] * 3


def test_a_moment_later_nothing_waits(end: End) -> None:
    for kind in ("first", "second"):
        time.sleep(2 * TOGETHER_S)
        end.wire.send_soon(kind)
        assert end.came() == [kind]


def test_what_is_sent_now_takes_along_what_waits(end: End) -> None:
    for kind in ("first", "second"):
        end.wire.send_soon(kind)
    end.wire.send("fault")
    assert end.came() == ["first", "second", "fault"]


def test_what_cannot_be_sent_leaves_no_trace(end: End) -> None:
    with pytest.raises(FrameError):
        end.wire.send("bad", value=float("nan"))
    end.wire.send("good")
    assert end.came() == ["good"]
