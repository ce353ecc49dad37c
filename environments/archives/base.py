"""What every reader of uploaded archives shares: limits, faults, members, bounded inflating."""

import hashlib
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Literal, NoReturn, Protocol

Kind = Literal["zip", "tar.gz", "wheel"]

MIB = 1 << 20
CHUNK = 1 << 16


@dataclass(frozen=True)
class Limits:
    """How much an archive may hold. Sizes are bytes.

    An archive is a bomb if it unpacks to more than `bomb_bytes` and to more than `ratio` times
    its own size. `total_bytes` counts a tar's headers too, since they are inflated as well.

    Secrets are looked for in the first `scanned_file_bytes` of each file, `scanned_bytes` in all.
    `pickle_ops` counts the operations of all pickles, `pickle_bytes` what is unpacked to see them.
    """

    compressed_bytes: int = 100 * MIB
    total_bytes: int = 256 * MIB
    file_bytes: int = 64 * MIB
    entries: int = 5000
    bomb_bytes: int = 64 * MIB
    ratio: int = 50
    name_bytes: int = 200
    depth: int = 10
    faults: int = 100
    scanned_file_bytes: int = 4 * MIB
    scanned_bytes: int = 32 * MIB
    pickle_ops: int = 2_000_000
    pickle_bytes: int = 64 * MIB

    def unpacked(self, packed: int) -> int:
        """The most bytes that an archive of `packed` bytes may unpack to."""
        return min(self.total_bytes, max(self.bomb_bytes, self.ratio * packed))


LIMITS = Limits()


@dataclass(frozen=True)
class Fault:
    """One thing wrong with an archive.

    `code` is a stable kebab-case word, `member` the name inside the archive ("" for the archive
    as a whole) made printable, `message` says what is wrong and what to do.
    """

    code: str
    member: str
    message: str


class BadArchive(Exception):
    """The archive is refused; `faults` holds every reason found, at least one."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = faults
        super().__init__("; ".join(f"{f.member or 'archive'}: {f.message}" for f in faults[:5]))


class Stop(Exception):
    """Reading cannot go on safely; the fault that says why is already collected."""


def printable(name: str | bytes) -> str:
    """A member's name as it can be shown and stored: escaped where needed, at most 200 long."""
    text = name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else name
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:200])
    return shown if len(shown) <= 200 else shown[:199] + "…"


class Faults:
    """Collects faults; those of one kind may be counted as one. Keeps `limit` and counts on."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._faults: list[Fault] = []
        self._groups: dict[str, tuple[str, str, int]] = {}
        self._unkept = 0

    def __bool__(self) -> bool:
        return bool(self._faults or self._groups)

    def add(self, code: str, member: str | bytes, message: str) -> None:
        if len(self._faults) < self._limit:
            self._faults.append(Fault(code, printable(member), message))
        else:
            self._unkept += 1

    def group(self, code: str, member: str, message: str) -> None:
        """Count `member` under `code`: all of a code become one fault naming the first."""
        first, _, count = self._groups.get(code, (member, message, 0))
        self._groups[code] = (first, message, count + 1)

    def stop(self, code: str, member: str | bytes, message: str) -> NoReturn:
        self.add(code, member, message)
        raise Stop

    def listing(self) -> list[Fault]:
        """At most `limit` faults, the counted kinds first."""
        grouped = [
            Fault(code, printable(first), message + (f" ({n} of them.)" if n > 1 else ""))
            for code, (first, message, n) in self._groups.items()
        ]
        found = grouped + self._faults
        unkept = self._unkept + max(0, len(found) - self._limit)
        if unkept:
            more = Fault(
                "more-faults", "", f"{unkept + 1} more faults are not listed: mend these first."
            )
            return [*found[: self._limit - 1], more]
        return found

    def check(self) -> None:
        """Raise BadArchive if any fault was collected."""
        if self:
            raise BadArchive(self.listing())


@dataclass(frozen=True)
class Member:
    """A regular file (or folder) of an archive and where its bytes are.

    `offset` counts from the start of the file in a zip, of the inflated stream in a tar.gz.
    """

    name: str
    size: int
    offset: int
    folder: bool = False
    packed: int = 0
    method: int = 0
    crc: int = 0


class Body(Protocol):
    """Gives the bytes of members, in an order of its own."""

    def contents(self, members: list[Member]) -> Iterator[tuple[Member, Iterator[bytes]]]:
        """Each member with its bytes, in chunks; use one before asking for the next."""
        ...


class Readable(Protocol):
    """What is needed of an archive that is sound, to judge what it holds."""

    @property
    def root(self) -> str: ...

    @property
    def files(self) -> dict[str, int]: ...

    def read(self, path: str, max_bytes: int) -> bytes: ...

    def stream(self, paths: Iterable[str]) -> Iterator[tuple[str, Iterator[bytes]]]: ...


class Damaged(Exception):
    """Compressed data is cut off, corrupt, or unpacks to another size than it says."""


class TooLarge(Exception):
    """Compressed data unpacks to more than it may."""


@dataclass
class Inflater:
    """Inflates `packed` bytes of `file` from `start`, never holding more than a chunk or two.

    `wbits` is zlib's: -15 for raw deflate, 31 for one gzip member. `produced` counts what came
    out. Raises Damaged, and TooLarge as soon as more than `most` bytes come out.
    """

    file: BinaryIO
    start: int
    packed: int
    wbits: int
    most: int
    produced: int = 0
    _taken: int = field(default=0, init=False)
    _left: bytes = field(default=b"", init=False)

    def __post_init__(self) -> None:
        self._zlib = zlib.decompressobj(self.wbits)

    def some(self, most: int) -> bytes:
        """Between 1 and `most` bytes; none at the end of the compressed stream."""
        while not self._zlib.eof:
            source = self._left or self._more()
            try:
                out = self._zlib.decompress(source, most)
            except zlib.error as error:
                raise Damaged("its compressed data is damaged") from error
            self._left = self._zlib.unconsumed_tail
            if not source and not out and not self._zlib.eof:
                raise Damaged("its compressed data is cut off")
            self.produced += len(out)
            if self.produced > self.most:
                raise TooLarge
            if out:
                return out
        return b""

    def _more(self) -> bytes:
        self.file.seek(self.start + self._taken)
        data = self.file.read(min(CHUNK, self.packed - self._taken))
        self._taken += len(data)
        return data

    def take(self, count: int) -> Iterator[bytes]:
        """Exactly `count` bytes, in chunks."""
        while count:
            data = self.some(min(CHUNK, count))
            if not data:
                raise Damaged("its data is cut off")
            count -= len(data)
            yield data

    def exact(self, count: int) -> bytes:
        return b"".join(self.take(count))

    def skip(self, count: int) -> None:
        for _ in self.take(count):
            pass

    def unread(self) -> int:
        """How many of the packed bytes lie after the end of the compressed stream."""
        return self.packed - self._taken + len(self._zlib.unused_data)


def digest(file: BinaryIO, limits: Limits) -> tuple[str, int]:
    """SHA-256 in hex and size of a seekable file; reads at most one chunk past the cap."""
    sha256, size = hashlib.sha256(), 0
    file.seek(0)
    while data := file.read(CHUNK):
        sha256.update(data)
        size += len(data)
        if size > limits.compressed_bytes:
            mib = limits.compressed_bytes / MIB
            message = f"It is larger than {mib:g} MiB. Remove data files, or fetch less."
            raise BadArchive([Fault("too-large", "", message)])
    return sha256.hexdigest(), size


def too_large(faults: Faults, limits: Limits, packed: int) -> NoReturn:
    """Stop with the fault that an archive of `packed` bytes unpacks to too much."""
    if limits.unpacked(packed) < limits.total_bytes:
        faults.stop(
            "bomb",
            "",
            f"It unpacks to over {limits.bomb_bytes // MIB} MiB and over {limits.ratio} times its "
            "size. Generate repetitive data when the environment loads.",
        )
    faults.stop(
        "too-large-unpacked",
        "",
        f"It unpacks to over {limits.total_bytes / MIB:g} MiB. Remove data files.",
    )
