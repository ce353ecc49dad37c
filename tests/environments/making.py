"""Archives built byte by byte, honest and hostile, and the least of a project and a wheel."""

import base64
import gzip
import hashlib
import io
import struct
import tarfile
import zipfile
import zlib
from dataclasses import dataclass, field

from environments.archives import LIMITS, Archive, BadArchive, Limits, check

PROJECT = {
    "pyproject.toml": b"""[project]
name = "Tiny.Env"
version = "1.0"

[tool.practicum]
entry = "tiny_env.core:make"
""",
    "README.md": b"# Tiny\n",
    "tiny_env/__init__.py": b"",
    "tiny_env/core.py": b"def make():\n    return 1\n" * 20,
}


def open_archive(data: bytes, name: str, limits: Limits = LIMITS) -> Archive:
    return check(io.BytesIO(data), name, limits)


def codes(data: bytes, name: str, limits: Limits = LIMITS) -> list[str]:
    """The codes of the faults found, [] if the archive is accepted."""
    try:
        open_archive(data, name, limits)
    except BadArchive as error:
        assert error.faults
        assert all(fault.message and fault.member.isprintable() for fault in error.faults)
        return [fault.code for fault in error.faults]
    return []


def plain_zip(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as z:
        for name, data in files.items():
            z.writestr(name, data)
    return out.getvalue()


def plain_tar(files: dict[str, bytes], root: str = "") -> bytes:
    """Always the same bytes for the same files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        for name, data in files.items():
            info = tarfile.TarInfo(root + name)
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
    return gzip.compress(out.getvalue(), mtime=0)


def record(files: dict[str, bytes], path: str) -> bytes:
    rows = []
    for name, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        rows.append(f"{name},sha256={digest},{len(data)}\n")
    return "".join([*rows, f"{path},,\n"]).encode()


INFO = "tiny_env-1.0.dist-info"
WHEEL_NAME = "tiny_env-1.0-py3-none-any.whl"
WHEEL_FILES = {
    "tiny_env/__init__.py": b"",
    "tiny_env/core.py": PROJECT["tiny_env/core.py"],
    "tiny_env/practicum.toml": b'entry = "tiny_env.core:make"\ntags = ["tiny"]\n',
    f"{INFO}/METADATA": b"""Metadata-Version: 2.4
Name: tiny-env
Version: 1.0
Summary: A tiny one
License-Expression: MIT
Requires-Python: >=3.11
Requires-Dist: numpy>=2
Requires-Dist: pytest; extra == 'test'
Author-email: Ada <ada@example.org>
Project-URL: Source, https://example.org/tiny
Description-Content-Type: text/markdown

# Tiny
""",
    f"{INFO}/WHEEL": b"""Wheel-Version: 1.0
Generator: hand
Root-Is-Purelib: true
Tag: py3-none-any
""",
}


def wheel(changes: dict[str, bytes | None] | None = None, listed: bytes | None = None) -> bytes:
    """A good wheel, with files changed (None: left out) and RECORD to match unless given."""
    files = {
        name: data for name, data in (WHEEL_FILES | (changes or {})).items() if data is not None
    }
    path = f"{INFO}/RECORD"
    if path not in (changes or {}):
        files[path] = record(files, path) if listed is None else listed
    return plain_zip(files)


GNU = b"ustar  \0"


@dataclass
class Raw:
    """One zip member. `local` and `central` override what each of its headers says."""

    name: bytes = b"a.py"
    data: bytes = b"x = 1\n" * 50
    method: int = 8
    flags: int = 0
    payload: bytes | None = None
    before: bytes = b""
    after: bytes = b""
    extra: bytes = b""
    local_extra: bytes = b""
    comment: bytes = b""
    attributes: int = 0o100644 << 16
    local: dict[str, int | bytes] = field(default_factory=dict)
    central: dict[str, int | bytes] = field(default_factory=dict)

    def packed(self) -> bytes:
        if self.payload is not None:
            return self.payload
        if self.method != 8:
            return self.data
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        return deflate.compress(self.data) + deflate.flush()

    def fields(self, overrides: dict[str, int | bytes]) -> dict[str, int | bytes]:
        return {
            "name": self.name,
            "flags": self.flags,
            "method": self.method,
            "time": 0,
            "date": 33,
            "crc": zlib.crc32(self.data),
            "packed": len(self.packed()),
            "size": len(self.data),
        } | overrides


def descriptor(data: bytes, packed: int, signature: bytes = b"PK\7\x08", **lies: int) -> bytes:
    real = {"crc": zlib.crc32(data), "packed": packed, "size": len(data)} | lies
    return signature + struct.pack("<3L", real["crc"], real["packed"], real["size"])


def described(raw: Raw) -> Raw:
    """The member as a tool writes it that cannot seek back: sizes after the data."""
    raw.flags |= 8
    raw.local = {"crc": 0, "packed": 0, "size": 0} | raw.local
    raw.after = raw.after or descriptor(raw.data, len(raw.packed()))
    return raw


def raw_zip(
    *members: Raw,
    prefix: bytes = b"",
    before_directory: bytes = b"",
    before_end: bytes = b"",
    comment: bytes = b"",
    trailing: bytes = b"",
    end: dict[str, int] | None = None,
) -> bytes:
    out, directory = bytearray(prefix), bytearray()
    for raw in members:
        out += raw.before
        offset = len(out)
        here = raw.fields(raw.local)
        stamps = ("flags", "method", "time", "date", "crc", "packed", "size")
        said = [here[key] for key in stamps]
        out += struct.pack(
            "<4s5H3L2H", b"PK\3\4", 20, *said, len(here["name"]), len(raw.local_extra)
        )
        out += here["name"] + raw.local_extra + raw.packed() + raw.after
        there = {"offset": offset} | raw.fields(raw.central)
        said = [there[key] for key in stamps]
        lengths = (len(there["name"]), len(raw.extra), len(raw.comment))
        directory += struct.pack("<4s2B5H3L", b"PK\1\2", 20, 3, 20, *said)
        directory += struct.pack("<5H2L", *lengths, 0, 0, raw.attributes, there["offset"])
        directory += there["name"] + raw.extra + raw.comment
    out += before_directory
    count = len(members)
    fields = {"disk": 0, "first": 0, "here": count, "count": count}
    fields |= {"directory": len(directory), "start": len(out)} | (end or {})
    out += directory + before_end
    return bytes(
        out
        + struct.pack("<4s4H2LH", b"PK\5\6", *fields.values(), len(comment))
        + comment
        + trailing
    )


def head(
    name: bytes = b"a.py",
    size: int | bytes = 0,
    kind: bytes = b"0",
    *,
    magic: bytes = b"ustar\x0000",
    prefix: bytes = b"",
    link: bytes = b"",
    tail: bytes = b"",
    checksum: bytes | None = None,
) -> bytes:
    """One tar header."""
    octal = size if isinstance(size, bytes) else b"%011o\0" % size
    block = name.ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + octal + b"0" * 11 + b"\0"
    block += b" " * 8 + kind + link.ljust(100, b"\0") + magic + bytes(32 + 32 + 16)
    block += prefix.ljust(155, b"\0") + tail.ljust(12, b"\0")
    assert len(block) == 512
    stated = b"%06o\0 " % sum(block) if checksum is None else checksum
    return block[:148] + stated + block[156:]


def padded(data: bytes, fill: bytes = b"\0") -> bytes:
    return data + fill * (-len(data) % 512)


def tar_file(name: bytes = b"a.py", data: bytes = b"x = 1\n", **more: bytes) -> bytes:
    return head(name, len(data), **more) + padded(data)


def pax(records: dict[str, str] | bytes, kind: bytes = b"x") -> bytes:
    body = records if isinstance(records, bytes) else b"".join(map(pax_record, records.items()))
    return head(b"PaxHeaders/a", len(body), kind) + padded(body)


def pax_record(item: tuple[str, str]) -> bytes:
    text = f" {item[0]}={item[1]}\n".encode()
    size = len(text)
    while size != len(text) + len(str(size)):
        size = len(text) + len(str(size))
    return str(size).encode() + text


def long_name(name: bytes, kind: bytes = b"L") -> bytes:
    return head(b"././@LongLink", len(name) + 1, kind, magic=GNU) + padded(name + b"\0")


END_OF_TAR = bytes(1024)


def raw_tar(*parts: bytes, end: bytes = END_OF_TAR) -> bytes:
    return gzip.compress(b"".join(parts) + end, mtime=0)
