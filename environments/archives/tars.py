"""A strict reader of .tar.gz files: POSIX ustar and pax, and GNU tar's long names.

Every header's checksum, every byte of padding and the two closing blocks are checked, so that no
two readers can see different members and nothing hides between them.
"""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

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
from environments.archives.zips import is_zip

BLOCK = 512
ZEROS = bytes(BLOCK)
GZIP, GZIP_FILENAME = b"\x1f\x8b\x08", 0x08
POSIX, GNU = b"ustar\x0000", b"ustar  \x00"
NUMBER = re.compile(rb" *([0-7]+)[ \0]*")
HEADER_BYTES = 64 * 1024

FILES, FOLDER = (b"0", b"\0"), b"5"
REFUSED = {
    b"1": ("link", "It is a hard link. Store the file itself (`tar --hard-dereference`)."),
    b"2": ("link", "It is a symbolic link. Replace it by its file (`tar --dereference`)."),
    b"3": ("device", "It is a device. Only files and folders are accepted."),
    b"4": ("device", "It is a device. Only files and folders are accepted."),
    b"6": ("device", "It is a pipe. Only files and folders are accepted."),
    b"S": ("sparse", "It is a sparse file. Pack it without `--sparse`."),
}

# What may stand in a pax header: nothing that changes a member's type or data.
PAX_KEYS = frozenset(
    {"path", "size", "mtime", "atime", "ctime", "uid", "gid", "uname", "gname", "comment"}
    | {"LIBARCHIVE.creationtime", "SCHILY.dev", "SCHILY.ino", "SCHILY.nlink", "SCHILY.fflags"}
)
PAX_PREFIXES = ("LIBARCHIVE.xattr.", "SCHILY.xattr.")
PAX_RECORD = re.compile(rb"([1-9][0-9]{0,4}) ([^=\0\n]+)=")


@dataclass(frozen=True)
class Header:
    """One 512-byte header; `raw_name` joins prefix and name."""

    raw_name: bytes
    type: bytes
    size: int


@dataclass
class Pending:
    """What earlier headers say about the next member."""

    pax: dict[str, bytes] = field(default_factory=dict)
    gnu_name: bytes | None = None


class TarBody:
    """Gives the bytes of members found by `walk`, inflating from the start once more."""

    def __init__(self, file: BinaryIO, size: int, most: int) -> None:
        self._file, self._size, self._most = file, size, most

    def contents(self, members: list[Member]) -> Iterator[tuple[Member, Iterator[bytes]]]:
        stream = Inflater(self._file, 0, self._size, zlib.MAX_WBITS | 16, self._most)
        for member in sorted(members, key=lambda member: member.offset):
            stream.skip(member.offset - stream.produced)
            yield member, stream.take(member.size)


def walk(file: BinaryIO, size: int, limits: Limits, faults: Faults, names: Names) -> list[Member]:
    """The members of a .tar.gz of `size` bytes, folders too. Adds faults; raises Stop."""
    file.seek(0)
    start = file.read(10)
    if start[:3] != GZIP:
        faults.stop("not-a-gzip", "", "It does not start as a .tar.gz does. Pack it afresh.")
    if len(start) < 4 or start[3] & ~GZIP_FILENAME:
        faults.stop("bad-gzip", "", "Its gzip header has extra parts. Compress it with plain gzip.")
    stream = Inflater(file, 0, size, zlib.MAX_WBITS | 16, limits.unpacked(size))
    walker = Walker(stream, limits, faults, names)
    try:
        walker.run()
    except TooLarge:
        too_large(faults, limits, size)
    except Damaged as error:
        faults.stop("damaged", "", f"Pack and upload it again: {error}.")
    if stream.unread():
        faults.stop("trailing-data", "", "There is data after the end of the gzip stream.")
    if is_zip(file, size):
        faults.stop("polyglot", "", "It is a tar and a zip at once. Pack it afresh.")
    return walker.members


class Walker:
    """Reads the headers of an inflated tar, one after the other."""

    def __init__(self, stream: Inflater, limits: Limits, faults: Faults, names: Names) -> None:
        self._stream, self._limits, self._faults, self._names = stream, limits, faults, names
        self._next = Pending()
        self.members: list[Member] = []

    def run(self) -> None:
        headers = 0
        while (block := self._stream.exact(BLOCK)) != ZEROS:
            headers += 1
            # A member may have a pax header of its own, and a long name.
            if headers > 2 * self._limits.entries:
                self._too_many()
            header = self._header(block)
            if header.type in (b"x", b"g", b"L"):
                self._describe(header)
            else:
                self._member(header)
                self._next = Pending()
        self._end()

    def _too_many(self) -> None:
        message = f"It has more than {self._limits.entries} entries."
        self._faults.stop("too-many-entries", "", message)

    def _end(self) -> None:
        if self._next != Pending():
            self._faults.stop("bad-header", "", "Its last header describes no member.")
        if self._stream.exact(BLOCK) != ZEROS:
            self._faults.stop("bad-end", "", "Data follows its first closing block.")
        while data := self._stream.some(CHUNK):
            if data.strip(b"\0"):
                self._faults.stop("trailing-data", "", "There is data after its closing blocks.")

    def _header(self, block: bytes) -> Header:
        magic, raw_name = block[257:265], block[:100].rstrip(b"\0")
        if magic not in (POSIX, GNU):
            message = "It is not a POSIX or GNU tar header. Pack it afresh."
            self._faults.stop("bad-header", raw_name, message)
        stated = NUMBER.fullmatch(block[148:156])
        if not stated or int(stated[1], 8) != sum(block[:148]) + 8 * 32 + sum(block[156:]):
            self._faults.stop("bad-header", raw_name, "Its header's checksum does not match.")
        size = NUMBER.fullmatch(block[124:136])
        if not size:
            self._faults.stop("bad-header", raw_name, "Its size is not an octal number.")
        prefix = block[345:500].rstrip(b"\0")
        # In GNU's format these bytes are no prefix, though some readers take them for one.
        if (magic == GNU and prefix) or block[500:].strip(b"\0"):
            self._faults.stop("bad-header", raw_name, "Its header has fields that are not used.")
        return Header(b"/".join(filter(None, (prefix, raw_name))), block[156:157], int(size[1], 8))

    def _describe(self, header: Header) -> None:
        """Take in a header that says something about the next member (or all of them)."""
        if header.size > HEADER_BYTES:
            self._faults.stop("bad-header", header.raw_name, "An extended header is over 64 KiB.")
        body = self._stream.exact(header.size)
        self._padding(header)
        if header.type == b"L":
            self._once(self._next.gnu_name is None and not self._next.pax, header)
            self._next.gnu_name = body.removesuffix(b"\0")
            return
        records = self._pax(body, header)
        if header.type == b"g":
            # `git archive` writes the commit's id so. Anything else would change every member.
            self._once(set(records) <= {"comment"} and self._next == Pending(), header)
            return
        self._once(self._next == Pending() and bool(records), header)
        self._next.pax = records

    def _once(self, good: bool, header: Header) -> None:
        if not good:
            message = "Extended headers that contradict each other or apply to all members."
            self._faults.stop("bad-header", header.raw_name, message)

    def _pax(self, body: bytes, header: Header) -> dict[str, bytes]:
        records: dict[str, bytes] = {}
        at = 0
        while at < len(body):
            match = PAX_RECORD.match(body, at)
            end = at + int(match[1]) if match else at
            if not match or end <= match.end() or body[end - 1 : end] != b"\n":
                self._faults.stop("bad-header", header.raw_name, "Its pax header is damaged.")
            key = match[2].decode("utf-8", "backslashreplace")
            if key.startswith("GNU.sparse"):
                self._faults.stop("sparse", header.raw_name, REFUSED[b"S"][1])
            if key in records or (key not in PAX_KEYS and not key.startswith(PAX_PREFIXES)):
                message = f"Its pax header has {key[:80]!a}, twice or not accepted. Use plain tar."
                self._faults.stop("bad-header", header.raw_name, message)
            records[key] = body[match.end() : end - 1]
            at = end
        return records

    def _member(self, header: Header) -> None:
        if len(self.members) >= self._limits.entries:
            self._too_many()
        self._sizes(header)
        folder = header.type == FOLDER
        name = self._name(header, folder)
        offset = self._stream.produced
        self._stream.skip(header.size)
        self._padding(header)
        if name and (folder or header.type in FILES):
            self.members.append(Member(name, header.size, offset, folder))

    def _sizes(self, header: Header) -> None:
        """Refuse members whose type or size is wrong; go on only where the next header is."""
        if header.type not in (*FILES, FOLDER):
            kind = ("not-regular", "It is neither a regular file nor a folder.")
            code, message = REFUSED.get(header.type, kind)
            self._faults.add(code, header.raw_name, message)
        if header.size and header.type not in FILES:
            self._faults.stop("bad-header", header.raw_name, "It has data, yet is no regular file.")
        if header.size > self._limits.file_bytes:
            message = f"It is larger than {self._limits.file_bytes / MIB:g} MiB."
            self._faults.stop("file-too-large", header.raw_name, message)
        size = self._next.pax.get("size", b"%d" % header.size)
        # Readers differ in which of the two they follow, so that data could pass for headers.
        if size != b"%d" % header.size:
            message = "Its header and its pax header give different sizes."
            self._faults.stop("size-mismatch", header.raw_name, message)

    def _name(self, header: Header, folder: bool) -> str | None:
        raw = self._next.pax.get("path", self._next.gnu_name)
        # Readers that skip the long name follow the short one.
        if raw is not None and (
            header.raw_name[:1] == b"/" or b".." in header.raw_name.split(b"/")
        ):
            self._faults.add("name-escapes", header.raw_name, "Its short name leads elsewhere.")
        raw = header.raw_name if raw is None else raw
        # `tar -czf env.tar.gz .` writes every name so; to every reader it is the same name.
        raw = raw.removeprefix(b"./")
        if folder:
            raw = raw.removesuffix(b"/")
            if raw in (b"", b"."):
                return None
        return self._names.add(raw, folder=folder)

    def _padding(self, header: Header) -> None:
        if self._stream.exact(-header.size % BLOCK).strip(b"\0"):
            self._faults.stop("hidden-data", header.raw_name, "Data hides in its padding.")
