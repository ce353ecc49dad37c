"""A strict reader of zip files (and so of wheels), after PKWARE's APPNOTE 6.3.

Python's `zipfile` follows the central directory alone and so can see other members than a reader
that follows local headers. Here both must agree, and every byte of the file must belong to them.
"""

import re
import stat
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

from environments.archives.base import (
    CHUNK,
    MIB,
    Damaged,
    Faults,
    Inflater,
    Limits,
    Member,
    TooLarge,
    too_large,
)
from environments.archives.names import Names

STORED, DEFLATED = 0, 8
END = struct.Struct("<4s4H2LH")
CENTRAL = struct.Struct("<4s2B5H3L5H2L")
LOCAL = struct.Struct("<4s5H3L2H")
DESCRIPTOR = struct.Struct("<4s3L")
EXTRA = struct.Struct("<2H")

ENCRYPTED = 1 << 0 | 1 << 6 | 1 << 13
DEFLATE_LEVEL = 1 << 1 | 1 << 2
DESCRIBED = 1 << 3
UTF8 = 1 << 11

DOS_FOLDER = 0x10

# Times and owners, which nothing here reads. Not zip64 (needless below 4 GiB), not AES, and not
# Info-ZIP's second name for a member.
HARMLESS_EXTRAS = frozenset({0x000A, 0x5455, 0x5855, 0x7855, 0x7875})

# `git archive` and the forges built on it write the commit's id as the zip's comment. Nothing can
# hide in 40 or 64 hexadecimal digits; any other comment can hold a second archive.
COMMIT = re.compile(rb"(?:[0-9a-f]{40}|[0-9a-f]{64})?")
COMMENT_BYTES = (0, 40, 64)

DIRECTORY_BYTES = 8 * MIB
ZIP64_LOCATOR_BYTES = 20
# Times and owners take some forty.
EXTRA_BYTES = 1024


class Entry(NamedTuple):
    """A record of the central directory."""

    raw_name: bytes
    flags: int
    method: int
    stamp: tuple[int, int]
    crc: int
    packed: int
    size: int
    attributes: int
    offset: int

    @property
    def folder(self) -> bool:
        return self.raw_name.endswith(b"/")

    @property
    def mode(self) -> int:
        """Unix type and permissions, 0 if not given."""
        return self.attributes >> 16


def _irregular(entry: Entry) -> bool:
    types = (0, stat.S_IFLNK, stat.S_IFDIR if entry.folder else stat.S_IFREG)
    return stat.S_IFMT(entry.mode) not in types or (
        not entry.folder and bool(entry.attributes & DOS_FOLDER)
    )


REFUSALS: tuple[tuple[Callable[[Entry], object], str, str], ...] = (
    (
        lambda entry: entry.flags & ENCRYPTED,
        "encrypted",
        "It is encrypted. Pack it without a password.",
    ),
    (
        lambda entry: entry.flags & ~(ENCRYPTED | DEFLATE_LEVEL | DESCRIBED | UTF8),
        "unsupported-flags",
        "It uses zip features that are not accepted. Use plain zip.",
    ),
    (
        lambda entry: entry.method not in (STORED, DEFLATED),
        "unsupported-compression",
        "Only stored and deflated members are accepted. Use plain zip.",
    ),
    (
        lambda entry: not entry.raw_name.isascii() and not entry.flags & UTF8,
        "name-encoding",
        "Its name is not ASCII and not marked as UTF-8, so it reads differently from tool to "
        "tool. Rename it in ASCII, or upload a .tar.gz.",
    ),
    (
        lambda entry: stat.S_ISLNK(entry.mode),
        "link",
        "It is a symbolic link. Replace it by the file it points to.",
    ),
    (
        _irregular,
        "not-regular",
        "It is neither a regular file nor a folder, or marked as one and named as the other.",
    ),
    (
        lambda entry: entry.folder and entry.size,
        "folder-with-data",
        "It is a folder that holds data.",
    ),
    (
        lambda entry: entry.method == STORED and entry.packed != entry.size,
        "size-mismatch",
        "It is stored, yet its packed size is not its size.",
    ),
)


class ZipBody:
    """Gives the bytes of members found by `walk`; checks size and CRC-32 again on the way."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def contents(self, members: list[Member]) -> Iterator[tuple[Member, Iterator[bytes]]]:
        for member in members:
            yield member, self._chunks(member)

    def _chunks(self, member: Member) -> Iterator[bytes]:
        crc = size = 0
        for data in self._raw(member):
            crc = zlib.crc32(data, crc)
            size += len(data)
            yield data
        if size != member.size:
            raise Damaged("it unpacks to another size than it declares")
        if crc != member.crc:
            raise Damaged("its checksum does not match")

    def _raw(self, member: Member) -> Iterator[bytes]:
        if member.method == STORED:
            for at in range(0, member.packed, CHUNK):
                self._file.seek(member.offset + at)
                yield self._file.read(min(CHUNK, member.packed - at))
            return
        stream = Inflater(self._file, member.offset, member.packed, -zlib.MAX_WBITS, member.size)
        try:
            while data := stream.some(CHUNK):
                yield data
        except TooLarge as error:
            raise Damaged("it unpacks to more than it declares") from error
        if stream.unread():
            raise Damaged("its compressed data ends before its packed size")


def walk(file: BinaryIO, size: int, limits: Limits, faults: Faults, names: Names) -> list[Member]:
    """The members of a zip of `size` bytes, folders too. Adds faults; raises Stop."""
    count, start, end = _end(file, size, faults)
    if count > limits.entries:
        faults.stop("too-many-entries", "", f"It has more than {limits.entries} entries.")
    entries = _directory(file, start, end, count, faults)
    if sum(entry.size for entry in entries) > limits.unpacked(size):
        too_large(faults, limits, size)
    members = []
    at = 0
    for entry in sorted(entries, key=lambda entry: entry.offset):
        if entry.offset != at:
            _misplaced(entry, at, faults)
        name = names.add(entry.raw_name.removesuffix(b"/"), folder=entry.folder)
        good = _judge(entry, limits, faults)
        data = _local(file, entry, start, faults)
        at = _after(file, entry, data, start, faults)
        if name and good:
            member = Member(
                name, entry.size, data, entry.folder, entry.packed, entry.method, entry.crc
            )
            members.append(member)
    if at != start:
        faults.stop("gap", "", "Bytes between the last member and the directory belong to none.")
    _not_a_tar(file, faults)
    _inflate(ZipBody(file), members, faults)
    return members


def _inflate(body: ZipBody, members: list[Member], faults: Faults) -> None:
    for member, chunks in body.contents(members):
        try:
            for _ in chunks:
                pass
        except Damaged as error:
            faults.add("damaged", member.name, f"Pack it afresh: {error}.")


def _end(file: BinaryIO, size: int, faults: Faults) -> tuple[int, int, int]:
    """How many entries there are, and where the central directory starts and ends."""
    file.seek(0)
    if file.read(4) not in (b"PK\3\4", b"PK\5\6"):
        faults.stop("not-a-zip", "", "It does not start as a zip does. Pack it afresh.")
    for comment in COMMENT_BYTES:
        at = size - END.size - comment
        if at < 0:
            continue
        file.seek(at)
        signature, *fields, length = END.unpack(file.read(END.size))
        if signature == b"PK\5\6" and length == comment and COMMIT.fullmatch(file.read(comment)):
            disk, first_disk, here, count, directory, start = fields
            if disk or first_disk or here != count:
                faults.stop("split-archive", "", "It is one part of a split zip. Pack one file.")
            file.seek(max(0, at - ZIP64_LOCATOR_BYTES))
            if file.read(4) == b"PK\6\7":
                faults.stop("zip64", "", "It uses zip64, which only files over 4 GiB need.")
            if start + directory != at:
                faults.stop("gap", "", "Its directory is not where it says. Pack it afresh.")
            if directory > DIRECTORY_BYTES:
                faults.stop("directory-too-large", "", "Its directory is over 8 MiB.")
            return count, start, at
    file.seek(max(0, size - END.size - 0xFFFF))
    tail = file.read()
    if 0 <= tail.find(b"PK\5\6") <= len(tail) - END.size:
        faults.stop("trailing-data", "", "It has a comment or data after its end. Pack it afresh.")
    faults.stop("truncated", "", "Its end is missing. Upload it again.")


def _directory(file: BinaryIO, start: int, end: int, count: int, faults: Faults) -> list[Entry]:
    file.seek(start)
    data = file.read(end - start)
    entries: list[Entry] = []
    at = 0
    while at < len(data):
        if len(data) - at < CENTRAL.size or data[at : at + 4] != b"PK\1\2":
            faults.stop("bad-directory", "", "Its directory is damaged. Pack it afresh.")
        record = CENTRAL.unpack_from(data, at)
        flags, method, *stamp, crc, packed, size = record[4:11]
        named, extra, comment, disk, _, attributes, offset = record[11:]
        at += CENTRAL.size
        raw_name = data[at : at + named]
        entry = Entry(
            raw_name, flags, method, (stamp[0], stamp[1]), crc, packed, size, attributes, offset
        )
        if disk or comment or at + named + extra > len(data):
            faults.stop("bad-directory", raw_name, "It has a comment, or is damaged.")
        _extras(data[at + named : at + named + extra], raw_name, faults)
        at += named + extra
        entries.append(entry)
        if len(entries) > count:
            break
    if len(entries) != count:
        faults.stop("bad-directory", "", "Its directory counts its entries wrongly.")
    return entries


def _extras(data: bytes, raw_name: bytes, faults: Faults) -> None:
    if len(data) > EXTRA_BYTES:
        faults.stop("bad-extra", raw_name, f"Its extra fields are over {EXTRA_BYTES} bytes.")
    while data:
        if len(data) < EXTRA.size:
            faults.stop("bad-extra", raw_name, "Its extra fields are damaged. Pack it afresh.")
        code, length = EXTRA.unpack_from(data)
        if code == 1:
            faults.stop("zip64", raw_name, "It uses zip64, which only files over 4 GiB need.")
        if code not in HARMLESS_EXTRAS or EXTRA.size + length > len(data):
            message = f"It has an extra field (0x{code:04x}) that is not accepted. Use plain zip."
            faults.stop("bad-extra", raw_name, message)
        data = data[EXTRA.size + length :]


def _judge(entry: Entry, limits: Limits, faults: Faults) -> bool:
    """Whether what one record declares is acceptable; adds every fault if not."""
    wrong = [(code, message) for refused, code, message in REFUSALS if refused(entry)]
    if entry.size > limits.file_bytes:
        wrong.append(("file-too-large", f"It is larger than {limits.file_bytes / MIB:g} MiB."))
    for code, message in wrong:
        faults.add(code, entry.raw_name, message)
    return not wrong


def _misplaced(entry: Entry, at: int, faults: Faults) -> None:
    if entry.offset < at:
        faults.stop("overlap", entry.raw_name, "It shares bytes with another member.")
    if at == 0:
        faults.stop("prefix", "", "There is data before its first member. Pack it afresh.")
    faults.stop("gap", entry.raw_name, "Bytes before it belong to no member.")


def _local(file: BinaryIO, entry: Entry, start: int, faults: Faults) -> int:
    """Hold the local header against the central record. Returns where the data starts."""
    file.seek(entry.offset)
    header = file.read(LOCAL.size)
    if entry.offset + LOCAL.size > start or header[:4] != b"PK\3\4":
        faults.stop("bad-local-header", entry.raw_name, "Its local header is missing.")
    flags, method, *stamp, crc, packed, size, named, extra = LOCAL.unpack(header)[2:]
    raw_name = file.read(named)
    same = (raw_name, flags, method, tuple(stamp)) == entry[:4]
    # Where a descriptor follows, the header may leave what was not yet known at zero.
    for said, real in ((crc, entry.crc), (packed, entry.packed), (size, entry.size)):
        same = same and (said == real or (bool(flags & DESCRIBED) and said == 0))
    if not same:
        message = "Its local header and the directory disagree. Pack it afresh."
        faults.stop("header-mismatch", entry.raw_name, message)
    _extras(file.read(extra), raw_name, faults)
    return entry.offset + LOCAL.size + int(named) + int(extra)


def _after(file: BinaryIO, entry: Entry, data: int, start: int, faults: Faults) -> int:
    """Where the bytes of a member whose data starts at `data` end, its descriptor included.

    Finder, Java, Go and every zip written to a pipe put a data descriptor after the data. It is
    accepted where no reader can be misled about the data's end: the data is deflated (so that it
    ends by itself, which inflating checks) or empty, the descriptor has its signature, agrees
    with the directory, and the next header follows at once.
    """
    end = data + entry.packed
    if entry.flags & DESCRIBED:
        if entry.method == STORED and entry.packed:
            message = "It is stored with a data descriptor, so its end is ambiguous. Deflate it."
            faults.stop("ambiguous-end", entry.raw_name, message)
        file.seek(end)
        said = file.read(DESCRIPTOR.size)
        if said != DESCRIPTOR.pack(b"PK\7\x08", entry.crc, entry.packed, entry.size):
            message = "Its data descriptor and the directory disagree. Pack it afresh."
            faults.stop("header-mismatch", entry.raw_name, message)
        end += DESCRIPTOR.size
    if end > start:
        faults.stop("overlap", entry.raw_name, "It runs into the directory. Pack it afresh.")
    return end


def _not_a_tar(file: BinaryIO, faults: Faults) -> None:
    file.seek(0)
    block = file.read(tarfile.BLOCKSIZE)
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return
    faults.stop("polyglot", "", "It is a zip and a tar at once. Pack it afresh.")


def is_zip(file: BinaryIO, size: int) -> bool:
    """Whether a lenient reader would find a zip at the end of the file, whatever comes before."""
    tail_at = max(0, size - END.size - 0xFFFF)
    file.seek(tail_at)
    tail = file.read()
    at = tail.rfind(b"PK\5\6")
    while at >= 0:
        if len(tail) - at >= END.size:
            _, _, _, _, count, directory, _, _ = END.unpack_from(tail, at)
            file.seek(max(0, tail_at + at - directory))
            if file.read(4) == b"PK\1\2" or not (count or directory):
                return True
        at = tail.rfind(b"PK\5\6", 0, at)
    return False
