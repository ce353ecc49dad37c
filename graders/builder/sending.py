"""How files and failures are sent to the worker."""

import base64
from typing import BinaryIO

from practicum_runner.frames import MAX_TEXT
from practicum_runner.wire import Wire

PIECE = 1 << 20


class Failed(Exception):
    """What was asked for was not done; the text says why."""


def send(wire: Wire, file: BinaryIO) -> None:
    """Send an open file's bytes, after the frame that told its size."""
    while piece := file.read(PIECE):
        wire.send("piece", data=base64.b64encode(piece).decode())


def shortened(said: str) -> str:
    """The text, without its middle if it is longer than a frame's may be."""
    if len(said) > MAX_TEXT:
        said = f"{said[: MAX_TEXT // 2 - 10]}\n[...]\n{said[-MAX_TEXT // 2 + 10 :]}"
    return said
