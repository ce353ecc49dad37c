"""Transcripts in object storage: a batch of rollouts an object, a compressed frame a rollout."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import zstandard
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

MAX_BYTES = 32 * 2**20


@dataclass(frozen=True)
class Place:
    """Where one transcript lies: an object's key and the bytes within it."""

    key: str
    offset: int
    length: int


def folder(evaluation_id: int) -> str:
    """Where the transcripts of an evaluation lie."""
    return f"transcripts/{evaluation_id}"


def write(evaluation_id: int, transcripts: Sequence[list[dict[str, Any]]]) -> list[Place]:
    """Store a batch of transcripts as one object. Returns their places, in order."""
    compressor = zstandard.ZstdCompressor(level=9, write_content_size=True)
    frames = [compressor.compress(json.dumps(one).encode()) for one in transcripts]
    # A fresh key each time: two workers that hold the same job one after the other never collide.
    key = default_storage.save(
        f"{folder(evaluation_id)}/{uuid4().hex}.zst", ContentFile(b"".join(frames))
    )
    places, offset = [], 0
    for frame in frames:
        places.append(Place(key, offset, len(frame)))
        offset += len(frame)
    return places


def read(place: Place) -> list[dict[str, Any]]:
    """One transcript: messages with `role` and `content`, the policy's with `usage` too."""
    with default_storage.open(place.key) as file:
        file.seek(place.offset)
        frame = file.read(place.length)
    text = zstandard.ZstdDecompressor().decompress(frame, max_output_size=MAX_BYTES)
    messages: list[dict[str, Any]] = json.loads(text)
    return messages
