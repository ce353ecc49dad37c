"""Zip files that lie, and what is said about them."""

import io
import stat
import struct
import zlib

import pytest
from making import Raw, codes, described, descriptor, open_archive, plain_zip, raw_zip

from environments.archives import BadArchive, Limits

ZIP64_EXTRA = struct.pack("<2H2Q", 1, 16, 300, 300)
UNICODE_PATH = struct.pack("<2HBL", 0x7075, 9, 1, 0) + b"b.py"
AES_EXTRA = struct.pack("<2H", 0x9901, 7) + bytes(7)
ZIP64_LOCATOR = struct.pack("<4sLQL", b"PK\6\7", 0, 0, 1)
TWO = (Raw(b"a.py"), Raw(b"b.py"))
LIE = b"y" * 100_000


def tar_and_zip() -> bytes:
    """A zip whose first local header is a tar header too; an extra field makes up the block."""
    extra = struct.pack("<2H", 0x5455, 474) + bytes(474)
    block = bytearray(raw_zip(Raw(method=0, data=b"", local_extra=extra))[:512])
    block[124:136] = b"00000000000\0"
    block[148:156] = b" " * 8
    block[257:265] = b"ustar\x0000"
    block[148:156] = b"%06o\0 " % sum(block)
    return raw_zip(Raw(method=0, data=b"", local_extra=bytes(block[34:])))


def many_names() -> bytes:
    """A bomb that hardly needs compression: a hundred records of one member."""
    names = [b"%02d.py" % n for n in range(100)]
    made = raw_zip(Raw(names[0], bytes(1 << 16)), *(Raw(name, b"") for name in names[1:]))
    directory = made.index(b"PK\1\2")
    first = made[directory : directory + 46 + 5]
    records = b"".join(first[:46] + name for name in names)
    body = made[: made.index(b"PK\3\4", 4)]
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 100, 100, len(records), len(body), 0)
    return body + records + end


def nested_members() -> bytes:
    """A bomb whose members overlap: the data of the first is the second's header and data."""
    inner = raw_zip(Raw(b"b.py", bytes(1 << 16)))
    local = inner[: inner.index(b"PK\1\2")]
    return raw_zip(
        Raw(b"a.py", local, 0, payload=local),
        Raw(b"b.py", bytes(1 << 16), payload=b"", central={"offset": 34}),
    )


ATTACKS = {
    "prefix": (raw_zip(Raw(), prefix=b"#!/bin/sh\n"), "not-a-zip"),
    "prefix that looks like a zip": (raw_zip(Raw(), prefix=b"PK\3\4" + bytes(40)), "prefix"),
    "trailing data": (raw_zip(Raw(), trailing=b"more"), "trailing-data"),
    "second zip behind": (raw_zip(Raw()) + raw_zip(Raw(b"b.py")), "gap"),
    "comment": (raw_zip(Raw(), comment=b"hello"), "trailing-data"),
    "comment of 40, not hex": (raw_zip(Raw(), comment=b"z" * 40), "trailing-data"),
    "gap between members": (raw_zip(Raw(), Raw(b"b.py", before=b"hidden")), "gap"),
    "hidden member": (
        raw_zip(Raw(), before_directory=raw_zip(Raw(b"h.py"))[:60]),
        "gap",
    ),
    "gap before the end": (raw_zip(Raw(), before_end=b"hidden"), "gap"),
    "overlap": (raw_zip(Raw(), Raw(b"b.py", central={"offset": 0})), "overlap"),
    "same bytes twice": (raw_zip(Raw(), Raw(central={"offset": 0})), "overlap"),
    "offset beyond the file": (raw_zip(Raw(central={"offset": 1 << 30})), "prefix"),
    "member runs into directory": (
        raw_zip(Raw(central={"packed": 99}, local={"packed": 99})),
        "overlap",
    ),
    "duplicate name": (raw_zip(Raw(), Raw(data=b"y = 2")), "duplicate-name"),
    "local name differs": (raw_zip(Raw(local={"name": b"b.py"})), "header-mismatch"),
    "local name longer": (raw_zip(Raw(local={"name": b"../../b.py"})), "header-mismatch"),
    "local size differs": (raw_zip(Raw(local={"size": 1})), "header-mismatch"),
    "local size zero, no descriptor": (raw_zip(Raw(local={"size": 0})), "header-mismatch"),
    "local packed size differs": (raw_zip(Raw(local={"packed": 1})), "header-mismatch"),
    "local checksum differs": (raw_zip(Raw(local={"crc": 1})), "header-mismatch"),
    "local method differs": (raw_zip(Raw(local={"method": 0})), "header-mismatch"),
    "local flags differ": (raw_zip(Raw(local={"flags": 8})), "header-mismatch"),
    "local date differs": (raw_zip(Raw(local={"date": 34})), "header-mismatch"),
    "wrong checksum": (raw_zip(Raw(local={"crc": 1}, central={"crc": 1})), "damaged"),
    "unpacks to more than it says": (
        raw_zip(Raw(data=LIE, local={"size": 10}, central={"size": 10})),
        "damaged",
    ),
    "unpacks to less than it says": (
        raw_zip(Raw(local={"size": 9999}, central={"size": 9999})),
        "damaged",
    ),
    "not deflate": (raw_zip(Raw(payload=b"\xff" * 30)), "damaged"),
    "deflate cut off": (raw_zip(Raw(payload=Raw(data=LIE).packed()[:-4], data=LIE)), "damaged"),
    "data after the deflate stream": (raw_zip(Raw(payload=Raw().packed() + b"hid")), "damaged"),
    "encrypted": (raw_zip(Raw(flags=1)), "encrypted"),
    "strongly encrypted": (raw_zip(Raw(flags=1 << 6)), "encrypted"),
    "masked headers": (raw_zip(Raw(flags=1 << 13)), "encrypted"),
    "patched data": (raw_zip(Raw(flags=1 << 5)), "unsupported-flags"),
    "bzip2": (raw_zip(Raw(method=12)), "unsupported-compression"),
    "lzma": (raw_zip(Raw(method=14)), "unsupported-compression"),
    "zip64 sizes": (raw_zip(Raw(extra=ZIP64_EXTRA)), "zip64"),
    "zip64 sizes, local": (raw_zip(Raw(local_extra=ZIP64_EXTRA)), "zip64"),
    "zip64 sizes without their extra": (
        raw_zip(Raw(central={"size": 0xFFFFFFFF}, local={"size": 0xFFFFFFFF})),
        "bomb",
    ),
    "zip64 offset without its extra": (raw_zip(Raw(central={"offset": 0xFFFFFFFF})), "prefix"),
    "zip64 count without its record": (
        raw_zip(Raw(), end={"here": 0xFFFF, "count": 0xFFFF}),
        "too-many-entries",
    ),
    "zip64 start without its record": (raw_zip(Raw(), end={"start": 0xFFFFFFFF}), "gap"),
    "zip64 directory": (raw_zip(Raw(), before_end=ZIP64_LOCATOR), "zip64"),
    "second name": (raw_zip(Raw(extra=UNICODE_PATH)), "bad-extra"),
    "second name, local": (raw_zip(Raw(local_extra=UNICODE_PATH)), "bad-extra"),
    "AES": (raw_zip(Raw(extra=AES_EXTRA)), "bad-extra"),
    "extra cut off": (raw_zip(Raw(extra=b"UT\x09\0\1")), "bad-extra"),
    "extra of three bytes": (raw_zip(Raw(extra=b"UT\1")), "bad-extra"),
    "extra too long": (
        raw_zip(Raw(local_extra=struct.pack("<2H", 0x5455, 1021) + bytes(1021))),
        "bad-extra",
    ),
    "symbolic link": (raw_zip(Raw(attributes=(stat.S_IFLNK | 0o777) << 16)), "link"),
    "device": (raw_zip(Raw(attributes=(stat.S_IFCHR | 0o600) << 16)), "not-regular"),
    "pipe": (raw_zip(Raw(attributes=(stat.S_IFIFO | 0o600) << 16)), "not-regular"),
    "file marked as folder": (raw_zip(Raw(attributes=0x10)), "not-regular"),
    "folder marked as file": (raw_zip(Raw(b"a/", b"", 0)), "not-regular"),
    "folder with data": (
        raw_zip(Raw(b"a/", b"hidden", 0, attributes=0x10)),
        "folder-with-data",
    ),
    "stored, sizes differ": (
        raw_zip(Raw(method=0, payload=b"abcd", data=b"abc")),
        "size-mismatch",
    ),
    "stored with descriptor": (raw_zip(described(Raw(method=0))), "ambiguous-end"),
    "descriptor missing": (raw_zip(Raw(flags=8)), "header-mismatch"),
    "descriptor without signature": (
        raw_zip(described(Raw(after=descriptor(Raw().data, len(Raw().packed()), b"")))),
        "header-mismatch",
    ),
    "descriptor of another size": (
        raw_zip(described(Raw(after=descriptor(Raw().data, len(Raw().packed()), size=7)))),
        "header-mismatch",
    ),
    "descriptor, and local header lies": (
        raw_zip(described(Raw(local={"size": 7}))),
        "header-mismatch",
    ),
    "zip64 descriptor": (
        raw_zip(
            described(Raw(after=b"PK\7\x08" + struct.pack("<L2Q", zlib.crc32(Raw().data), 1, 1)))
        ),
        "header-mismatch",
    ),
    "name in some old code page": (raw_zip(Raw(b"caf\x82.py")), "name-encoding name-not-utf8"),
    "UTF-8 name, not marked": (raw_zip(Raw("café.py".encode())), "name-encoding"),
    "marked as UTF-8, but is not": (raw_zip(Raw(b"caf\x82.py", flags=1 << 11)), "name-not-utf8"),
    "split over disks": (raw_zip(Raw(), end={"disk": 1}), "split-archive"),
    "some entries elsewhere": (raw_zip(Raw(), end={"here": 0}), "split-archive"),
    "counts too few": (raw_zip(*TWO, end={"here": 1, "count": 1}), "bad-directory"),
    "counts too many": (raw_zip(*TWO, end={"here": 3, "count": 3}), "bad-directory"),
    "directory elsewhere": (raw_zip(Raw(), end={"start": 0}), "gap"),
    "directory cut off": (raw_zip(Raw())[:-30] + raw_zip(Raw())[-22:], "gap"),
    "end missing": (raw_zip(Raw())[:-22], "truncated"),
    "member's comment": (raw_zip(Raw(comment=b"hidden")), "bad-directory"),
    "tar and zip at once": (tar_and_zip(), "polyglot"),
    "link, and a file through it": (
        raw_zip(Raw(b"a", b"/etc", 0, attributes=(stat.S_IFLNK | 0o777) << 16), Raw(b"a/x")),
        "link file-as-folder",
    ),
    "socket": (raw_zip(Raw(attributes=(stat.S_IFSOCK | 0o600) << 16)), "not-regular"),
    "many names for one member": (many_names(), "overlap"),
    "each member holds the next": (nested_members(), "overlap"),
    "file twice, once as a folder": (
        raw_zip(Raw(b"a"), Raw(b"a/", b"", 0, attributes=0x10)),
        "duplicate-name",
    ),
    "rar named zip": (b"Rar!\x1a\x07\x01\0" + bytes(60), "not-a-zip"),
    "7z named zip": (b"7z\xbc\xaf\x27\x1c" + bytes(60), "not-a-zip"),
    "program with a zip": (raw_zip(Raw(), prefix=b"\x7fELF" + bytes(60)), "not-a-zip"),
    "spanning marker": (raw_zip(Raw(), prefix=b"PK\7\x08"), "not-a-zip"),
    "gzip named zip": (b"\x1f\x8b\x08" + bytes(60), "not-a-zip"),
    "nothing": (b"", "not-a-zip"),
    "no members": (raw_zip(), "empty"),
    "folders only": (raw_zip(Raw(b"a/", b"", 0, attributes=0x10)), "empty"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_attack_is_refused(attack: str) -> None:
    data, code = ATTACKS[attack]
    assert set(codes(data, "env.zip")) == set(code.split())


def test_builder_makes_good_zips() -> None:
    """So that each attack above is refused for what it changes, and for nothing else."""
    times = struct.pack("<2HBL", 0x5455, 5, 1, 0)
    good = raw_zip(
        Raw(b"p/", b"", 0, attributes=0x10),
        Raw(b"p/a.py", extra=times, local_extra=times),
        Raw(b"p/b.py", method=0),
        described(Raw(b"p/c.py")),
        described(Raw(b"p/empty", data=b"", method=0)),
        described(Raw(b"p/d.py", local={"size": len(Raw().data)})),
        Raw("p/é.py".encode(), flags=1 << 11),
        comment=b"0123456789" * 4,
    )
    archive = open_archive(good, "env.zip")
    assert archive.root == "p"
    assert list(archive.files) == ["a.py", "b.py", "c.py", "d.py", "empty", "é.py"]
    assert archive.read("c.py", 1000) == Raw().data


@pytest.mark.parametrize("size", range(len(raw_zip(*TWO))))
def test_truncated(size: int) -> None:
    found = codes(raw_zip(*TWO)[:size], "env.zip")
    assert found
    assert set(found) <= {"not-a-zip", "truncated", "gap"}


def test_every_fault_is_told_at_once() -> None:
    data = raw_zip(
        Raw(b"../up.py"),
        Raw(b"/etc/x", flags=1),
        Raw(b"c.py", local={"crc": 5}, central={"crc": 5}),
        Raw(b"link", attributes=(stat.S_IFLNK | 0o777) << 16),
        Raw(b"d.so"),
    )
    found = codes(data, "env.zip")
    assert sorted(found) == sorted(
        ["name-escapes", "name-absolute", "encrypted", "damaged", "link", "native-code"]
    )


def test_limits() -> None:
    small = {"a.py": b"a" * 600, "b.py": b"b" * 600}
    data = plain_zip(small)
    assert codes(data, "env.zip", Limits(compressed_bytes=len(data))) == []
    assert codes(data, "env.zip", Limits(compressed_bytes=len(data) - 1)) == ["too-large"]
    assert codes(data, "env.zip", Limits(file_bytes=600)) == []
    assert codes(data, "env.zip", Limits(file_bytes=599)) == ["file-too-large"] * 2
    assert codes(data, "env.zip", Limits(total_bytes=1200)) == []
    assert codes(data, "env.zip", Limits(total_bytes=1199)) == ["too-large-unpacked"]
    assert codes(data, "env.zip", Limits(entries=2)) == []
    assert codes(data, "env.zip", Limits(entries=1)) == ["too-many-entries"]


def test_bomb_needs_size_and_ratio() -> None:
    data = plain_zip({"a.txt": bytes(1 << 20)})
    assert len(data) < 2000
    assert codes(data, "env.zip") == []
    assert codes(data, "env.zip", Limits(bomb_bytes=1 << 19)) == ["bomb"]
    assert codes(data, "env.zip", Limits(bomb_bytes=1 << 19, ratio=2000)) == []


def test_real_bomb_is_refused_before_inflating(monkeypatch: pytest.MonkeyPatch) -> None:
    out = plain_zip({f"{n}.txt": bytes(20 << 20) for n in range(4)})
    assert len(out) < 1 << 18
    monkeypatch.setattr(zlib, "decompressobj", lambda *_: pytest.fail("it was inflated"))
    assert codes(out, "env.zip") == ["bomb"]


def test_fault_list_is_capped() -> None:
    data = raw_zip(*(Raw(b"../%d" % n) for n in range(300)))
    found = codes(data, "env.zip")
    assert len(found) == 100
    assert found[-1] == "more-faults"


def test_file_changed_after_check() -> None:
    data = io.BytesIO(raw_zip(Raw(method=0)))
    archive = open_archive(data.getvalue(), "env.zip")
    archive._body._file.seek(40)
    archive._body._file.write(b"!")
    with pytest.raises(BadArchive, match="not the one that was checked"):
        archive.read("a.py", 1000)
