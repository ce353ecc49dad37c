"""What the files of a sound archive hold: no secrets, no pickles that do more than hold data."""

from collections.abc import Iterator

from environments.archives import leaks, pickles
from environments.archives.base import Faults, Limits, Readable

INSTEAD = "Store the data as JSON, as .npz of plain numbers, or as safetensors."


def check(archive: Readable, limits: Limits, faults: Faults) -> None:
    """Look into every file. Adds faults; what is looked at is bounded by `limits`."""
    budget = pickles.Budget(limits.pickle_ops, limits.pickle_bytes)
    guesses = pickles.Budget(limits.pickle_ops, 0)
    left = limits.scanned_bytes
    for path, chunks in archive.stream(archive.files):
        member = f"{archive.root}/{path}" if archive.root else path
        data = _load(path, chunks, limits.scanned_file_bytes)
        head = data[: min(left, limits.scanned_file_bytes)]
        left -= len(head)
        _leaks(member, path, head, faults)
        if pickles.may_hold(path, data[: pickles.HEAD]):
            _pickles(member, data, budget, faults)
        elif found := pickles.guess(data, guesses):
            _unsafe(member, found, faults)


def _load(path: str, chunks: Iterator[bytes], most: int) -> bytes:
    """A file that may hold a pickle as a whole, the first `most` bytes of any other, or more."""
    data = bytearray()
    whole = False
    for chunk in chunks:
        whole = whole or (not data and pickles.may_hold(path, chunk[: pickles.HEAD]))
        if whole or len(data) < most:
            data += chunk
    return bytes(data)


def _leaks(member: str, path: str, data: bytes, faults: Faults) -> None:
    for line, kind in leaks.find(path, data):
        message = (
            f"Line {line} holds {kind}. Remove it, and revoke it where it was made: it has already "
            "left your machine. Read it from a variable of the environment instead."
        )
        faults.add("secret", member, message)


def _pickles(member: str, data: bytes, budget: pickles.Budget, faults: Faults) -> None:
    try:
        found = pickles.find(member, data, budget)
    except pickles.Unchecked as error:
        faults.add("unchecked-pickle", member, f"It may hold a pickle, and {error}. {INSTEAD}")
        return
    if found is not None:
        _unsafe(member, found, faults)


def _unsafe(member: str, found: str, faults: Faults) -> None:
    message = f"It is a pickle that imports {found[:80]!a}, which runs when it is loaded. {INSTEAD}"
    faults.add("unsafe-pickle", member, message)
