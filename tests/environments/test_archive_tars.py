"""Tars that lie, and what is said about them."""

import bz2
import gzip
import io
import lzma
import zlib

import pytest
from making import (
    END_OF_TAR,
    GNU,
    Raw,
    codes,
    head,
    long_name,
    open_archive,
    padded,
    pax,
    pax_record,
    plain_tar,
    raw_tar,
    raw_zip,
    tar_file,
)

from environments.archives import Limits

GOOD = tar_file()


def with_gzip_field(flag: int, value: bytes) -> bytes:
    data = raw_tar(GOOD)
    return data[:3] + bytes([flag]) + data[4:10] + value + data[10:]


def zip_and_tar() -> bytes:
    """A zip inside the gzip stream's stored last block, and so at the end of the file."""
    plain = tar_file(b"a.zip", raw_zip(Raw(method=0))) + END_OF_TAR
    deflate = zlib.compressobj(0, zlib.DEFLATED, 31)
    return deflate.compress(plain) + deflate.flush()


ATTACKS = {
    "symbolic link": (raw_tar(head(b"a.py", 0, b"2", link=b"/etc/passwd")), "link"),
    "hard link": (raw_tar(GOOD, head(b"b.py", 0, b"1", link=b"a.py")), "link"),
    "hard link out of it": (raw_tar(head(b"b.py", 0, b"1", link=b"/etc/shadow")), "link"),
    "link, and a file through it": (
        raw_tar(head(b"a", 0, b"2", link=b"/etc"), tar_file(b"a/cron.d")),
        "link file-as-folder",
    ),
    "link by pax name": (raw_tar(pax({"path": "a.py"}), head(b"b", 0, b"2", link=b"/")), "link"),
    "hard link with data": (raw_tar(head(b"b.py", 512, b"1"), bytes(512)), "link"),
    "character device": (raw_tar(head(kind=b"3")), "device"),
    "block device": (raw_tar(head(kind=b"4")), "device"),
    "pipe": (raw_tar(head(kind=b"6")), "device"),
    "contiguous file": (raw_tar(head(kind=b"7")), "not-regular"),
    "unknown type": (raw_tar(head(kind=b"Z")), "not-regular"),
    "GNU directory dump": (raw_tar(head(kind=b"D")), "not-regular"),
    "GNU volume": (raw_tar(head(kind=b"V")), "not-regular"),
    "sparse": (raw_tar(head(kind=b"S", magic=GNU)), "sparse"),
    "pax sparse": (raw_tar(pax({"GNU.sparse.realsize": "9"}), GOOD), "sparse"),
    "old folder with a slash": (raw_tar(head(b"a/", kind=b"\0")), "name-empty-part"),
    "folder with data": (raw_tar(head(b"a/", 512, b"5"), bytes(512)), "bad-header"),
    "absolute": (raw_tar(tar_file(b"/etc/cron.d/x")), "name-absolute"),
    "escape": (raw_tar(tar_file(b"a/../../x")), "name-escapes"),
    "escape by prefix": (raw_tar(tar_file(b"x", prefix=b"..")), "name-escapes"),
    "escape by pax": (raw_tar(pax({"path": "../x"}), GOOD), "name-escapes"),
    "absolute by pax": (raw_tar(pax({"path": "/x"}), GOOD), "name-absolute"),
    "pax hides an escape": (raw_tar(pax({"path": "x.py"}), tar_file(b"../x")), "name-escapes"),
    "long name hides a path": (raw_tar(long_name(b"x.py"), tar_file(b"/x")), "name-escapes"),
    "escape by long name": (raw_tar(long_name(b"../x"), GOOD), "name-escapes"),
    "NUL in pax path": (raw_tar(pax({"path": "a.py\0b"}), GOOD), "name-unprintable"),
    "NUL in a long name": (raw_tar(long_name(b"a.py\0/../x"), GOOD), "name-unprintable"),
    "long name, not UTF-8": (raw_tar(long_name(b"a\xff.py"), GOOD), "name-not-utf8"),
    "long name of nothing": (raw_tar(long_name(b""), GOOD), "name-empty-part"),
    "long name too long": (raw_tar(long_name(b"x" * 70_000), GOOD), "bad-header"),
    "long name for no member": (raw_tar(GOOD, long_name(b"x.py")), "bad-header"),
    "pax path, not UTF-8": (raw_tar(pax(b"12 path=\xff\xfe\n"), GOOD), "bad-header"),
    "pax path of nothing": (raw_tar(pax({"path": ""}), GOOD), "name-empty-part"),
    "pax size of the whole disk": (raw_tar(pax({"size": "9" * 19}), GOOD), "size-mismatch"),
    "pax size below zero": (raw_tar(pax({"size": "-1"}), GOOD), "size-mismatch"),
    "NUL in name": (raw_tar(tar_file(b"a.py\0.txt")), "name-unprintable"),
    "long link": (raw_tar(long_name(b"x.py", b"K"), GOOD), "not-regular"),
    "pax size differs": (raw_tar(pax({"size": "0"}), GOOD), "size-mismatch"),
    "pax size smuggles a member": (
        raw_tar(pax({"size": "512"}), head(size=0), head(b"../x")),
        "size-mismatch",
    ),
    "pax link": (raw_tar(pax({"linkpath": "/etc"}), GOOD), "bad-header"),
    "pax charset": (raw_tar(pax({"hdrcharset": "BINARY"}), GOOD), "bad-header"),
    "pax unknown": (raw_tar(pax({"x.y": "z"}), GOOD), "bad-header"),
    "pax key twice": (raw_tar(pax(pax_record(("path", "b")) * 2), GOOD), "bad-header"),
    "pax length too short": (raw_tar(pax(b"5 path=a.py\n"), GOOD), "bad-header"),
    "pax length too long": (raw_tar(pax(b"99 path=a.py\n"), GOOD), "bad-header"),
    "pax length padded": (raw_tar(pax(b"013 path=a.py\n"), GOOD), "bad-header"),
    "pax without newline": (raw_tar(pax(b"12 path=a.pyx"), GOOD), "bad-header"),
    "pax rubbish": (raw_tar(pax(b"\xff\xfe\n"), GOOD), "bad-header"),
    "pax empty": (raw_tar(pax(b""), GOOD), "bad-header"),
    "pax twice": (raw_tar(pax({"path": "b.py"}) * 2, GOOD), "bad-header"),
    "pax after a long name": (raw_tar(long_name(b"x"), pax({"path": "y"}), GOOD), "bad-header"),
    "long name after pax": (raw_tar(pax({"path": "y"}), long_name(b"x"), GOOD), "bad-header"),
    "long name twice": (raw_tar(long_name(b"x") * 2, GOOD), "bad-header"),
    "pax for no member": (raw_tar(GOOD, pax({"path": "b.py"})), "bad-header"),
    "pax for all members": (raw_tar(pax({"path": "b.py"}, b"g"), GOOD), "bad-header"),
    "pax too long": (raw_tar(pax({"comment": "x" * 70_000}), GOOD), "bad-header"),
    "size in base 256": (raw_tar(head(size=b"\x80" + bytes(10) + b"\1")), "bad-header"),
    "negative size": (raw_tar(head(size=b"-0000000001\0")), "bad-header"),
    "size with rubbish": (raw_tar(head(size=b"0000000001x\0")), "bad-header"),
    "empty size": (raw_tar(head(size=b" " * 12)), "bad-header"),
    "checksum wrong": (raw_tar(head(checksum=b"000000\0 ")), "bad-header"),
    "checksum missing": (raw_tar(head(checksum=bytes(8))), "bad-header"),
    "no magic": (raw_tar(head(magic=bytes(8))), "bad-header"),
    "star's magic": (raw_tar(head(tail=b"xxxxxxxxtar\0")), "bad-header"),
    "GNU header with a prefix": (raw_tar(head(magic=GNU, prefix=b"..")), "bad-header"),
    "data in the padding": (raw_tar(head(size=3) + padded(b"abc", b"!")), "hidden-data"),
    "data in a pax padding": (
        raw_tar(head(b"p", 13, b"x") + padded(b"13 path=a.py\n", b"!"), GOOD),
        "hidden-data",
    ),
    "no closing blocks": (raw_tar(GOOD, end=b""), "damaged"),
    "one closing block": (raw_tar(GOOD, end=bytes(512)), "damaged"),
    "member after one closing block": (raw_tar(GOOD, bytes(512), GOOD), "bad-end"),
    "member after the closing blocks": (
        raw_tar(GOOD, END_OF_TAR, tar_file(b"../b.py")),
        "trailing-data",
    ),
    "data is cut off": (raw_tar(head(size=1000) + bytes(512), end=b""), "damaged"),
    "data after the gzip": (raw_tar(GOOD) + b"more", "trailing-data"),
    "zeros after the gzip": (raw_tar(GOOD) + bytes(512), "trailing-data"),
    "two gzip members": (gzip.compress(GOOD) + gzip.compress(END_OF_TAR), "damaged"),
    "second gzip member": (raw_tar(GOOD) + raw_tar(GOOD), "trailing-data"),
    "gzip cut off": (raw_tar(GOOD)[:-9], "damaged"),
    "gzip checksum cut off": (raw_tar(GOOD)[:-4], "damaged"),
    "gzip checksum wrong": (raw_tar(GOOD)[:-8] + bytes(8), "damaged"),
    "gzip extra field": (with_gzip_field(4, b"\2\0hi"), "bad-gzip"),
    "gzip comment": (with_gzip_field(16, b"hi\0"), "bad-gzip"),
    "gzip reserved flag": (with_gzip_field(0x80, b""), "bad-gzip"),
    "not gzip": (GOOD + END_OF_TAR, "not-a-gzip"),
    "nothing": (b"", "not-a-gzip"),
    "gzip's first bytes": (b"\x1f\x8b\x08", "bad-gzip"),
    "a zip named tar.gz": (raw_zip(Raw()), "not-a-gzip"),
    "tar and zip at once": (zip_and_tar(), "polyglot"),
    "bzip2 named tar.gz": (bz2.compress(GOOD + END_OF_TAR), "not-a-gzip"),
    "xz named tar.gz": (lzma.compress(GOOD + END_OF_TAR), "not-a-gzip"),
    "gzip in gzip": (gzip.compress(raw_tar(GOOD)), "damaged"),
    "zip in gzip": (gzip.compress(raw_zip(Raw(method=0, data=bytes(900)))), "bad-header"),
    "gzip of nothing": (gzip.compress(b""), "damaged"),
    "no members": (raw_tar(), "empty"),
    "twice the same file": (raw_tar(GOOD, GOOD), "duplicate-name"),
    "file, then folder": (raw_tar(GOOD, head(b"a.py/", 0, b"5")), "duplicate-name"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_attack_is_refused(attack: str) -> None:
    data, code = ATTACKS[attack]
    found, expected = set(codes(data, "env.tar.gz")), set(code.split())
    # A link with data also makes it unsure where the next header is.
    assert found - {"bad-header"} == expected - {"bad-header"}
    assert expected <= found


def test_builder_makes_good_tars() -> None:
    """So that each attack above is refused for what it changes, and for nothing else."""
    name = b"p/" + b"long/" * 2 + b"n" * 120
    data = raw_tar(
        pax({"comment": "0123456789" * 4}, b"g"),
        head(b"./", 0, b"5"),
        head(b"p/", 0, b"5"),
        tar_file(b"./p/a.py"),
        pax({"mtime": "1.5", "path": "p/é.py", "SCHILY.dev": "1", "size": "6"}),
        tar_file(b"p/e.py"),
        long_name(name),
        tar_file(name[:100], magic=GNU),
        tar_file(b"b.py", prefix=b"p"),
        tar_file(b"p/old.py", kind=b"\0"),
        end=bytes(10_240),
    )
    archive = open_archive(data, "env.tar.gz")
    assert archive.root == "p"
    assert list(archive.files) == ["a.py", "b.py", name[2:].decode(), "old.py", "é.py"]
    assert archive.read("é.py", 6) == b"x = 1\n"


@pytest.mark.parametrize("size", range(len(raw_tar(GOOD))))
def test_truncated(size: int) -> None:
    assert codes(raw_tar(GOOD)[:size], "env.tar.gz") in (["not-a-gzip"], ["bad-gzip"], ["damaged"])


@pytest.mark.parametrize("blocks", range(4))
def test_truncated_inside_sound_gzip(blocks: int) -> None:
    whole = GOOD + END_OF_TAR
    assert codes(gzip.compress(whole[: blocks * 512]), "env.tar.gz") == ["damaged"]
    assert codes(gzip.compress(whole[: blocks * 512 + 100]), "env.tar.gz") == ["damaged"]


def test_every_fault_is_told_at_once() -> None:
    data = raw_tar(
        tar_file(b"../up.py"),
        head(b"link", 0, b"2", link=b"/"),
        head(b"null", 0, b"3"),
        tar_file(b"lib.so.6"),
        tar_file(b"A.py"),
        tar_file(b"a.py"),
    )
    expected = ["name-escapes", "link", "device", "native-code", "name-collision"]
    assert sorted(codes(data, "env.tar.gz")) == sorted(expected)


def test_limits() -> None:
    data = plain_tar({"a.py": b"a" * 600, "b.py": b"b" * 600})
    inflated = len(gzip.decompress(data))
    assert codes(data, "e.tar.gz", Limits(compressed_bytes=len(data))) == []
    assert codes(data, "e.tar.gz", Limits(compressed_bytes=len(data) - 1)) == ["too-large"]
    assert codes(data, "e.tar.gz", Limits(file_bytes=600)) == []
    assert codes(data, "e.tar.gz", Limits(file_bytes=599)) == ["file-too-large"]
    assert codes(data, "e.tar.gz", Limits(total_bytes=inflated)) == []
    assert codes(data, "e.tar.gz", Limits(total_bytes=inflated - 1)) == ["too-large-unpacked"]
    assert codes(data, "e.tar.gz", Limits(entries=2)) == []
    assert codes(data, "e.tar.gz", Limits(entries=1)) == ["too-many-entries"]


def test_headers_without_members_count_too() -> None:
    data = raw_tar(pax({"comment": "x"}, b"g") * 50, GOOD)
    assert codes(data, "e.tar.gz", Limits(entries=10)) == ["too-many-entries"]


def test_bomb_is_stopped_while_inflating(monkeypatch: pytest.MonkeyPatch) -> None:
    data = plain_tar({f"{n}.txt": bytes(1 << 20) for n in range(40)})
    inflated = 0
    real = zlib.decompressobj

    class Counting:
        def __init__(self, wbits: int) -> None:
            self._inner = real(wbits)

        def __getattr__(self, name: str) -> object:
            return getattr(self._inner, name)

        def decompress(self, source: bytes, most: int) -> bytes:
            nonlocal inflated
            out = self._inner.decompress(source, most)
            inflated += len(out)
            return out

    monkeypatch.setattr(zlib, "decompressobj", Counting)
    assert codes(data, "e.tar.gz", Limits(bomb_bytes=1 << 20)) == ["bomb"]
    assert 1 << 20 < inflated < (1 << 20) + 50 * len(data) + (1 << 16)


def test_bomb_of_closing_blocks() -> None:
    data = raw_tar(GOOD, end=bytes(4 << 20))
    assert codes(data, "e.tar.gz", Limits(bomb_bytes=1 << 20)) == ["bomb"]


def test_reading_does_not_need_order() -> None:
    files = {f"{n}.py": bytes([n]) * (n * 700 + 1) for n in range(9)}
    archive = open_archive(plain_tar(files), "e.tgz")
    for name in reversed(files):
        assert archive.read(name, 1 << 20) == files[name]
    with pytest.raises(ValueError, match="more than 10"):
        archive.read("5.py", 10)
    with pytest.raises(FileNotFoundError):
        archive.read("no.py", 10)


def test_file_is_left_open() -> None:
    file = io.BytesIO(plain_tar({"a.py": b"1"}))
    open_archive(file.getvalue(), "e.tar.gz")
    assert not file.closed
