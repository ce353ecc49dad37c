"""Whatever happens to an archive's bytes, it is refused cleanly or read as others read it."""

import gzip
import io
import tarfile
import tempfile
import zipfile
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st
from making import (
    PROJECT,
    WHEEL_NAME,
    Raw,
    described,
    long_name,
    open_archive,
    pax,
    plain_tar,
    plain_zip,
    raw_tar,
    raw_zip,
    tar_file,
    wheel,
)

from environments.archives import BadArchive, Limits
from environments.manifest import BadManifest, read

SMALL = Limits(total_bytes=1 << 20, file_bytes=1 << 18)
FUZZ = settings(max_examples=200, deadline=None)

ZIPS = [
    plain_zip(PROJECT),
    plain_zip(PROJECT, zipfile.ZIP_STORED),
    raw_zip(described(Raw()), described(Raw(b"e", b"", 0)), Raw(b"p/", b"", 0), comment=b"a" * 40),
]
TARS = [
    gzip.decompress(plain_tar(PROJECT, "p-1/")),
    gzip.decompress(
        raw_tar(
            pax({"path": "p/é.py"}),
            tar_file(),
            long_name(b"p/" + b"n" * 150),
            tar_file(b"p/nn", magic=b"ustar  \0"),
        )
    ),
]

# Bytes that mean something to zip, tar or a path.
TOKENS = [
    b"PK\3\4",
    b"PK\1\2",
    b"PK\5\6",
    b"PK\7\x08",
    b"../",
    b"/",
    b"\0" * 512,
    b"\xff" * 4,
    b"1",
]


@st.composite
def damaged(draw: st.DrawFn, sources: list[bytes]) -> bytes:
    """One of the sources after a few cuts, flips, overwrites and copies."""
    data = bytearray(draw(st.sampled_from(sources)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        size = draw(st.integers(1, 600))
        kind = draw(st.sampled_from(["flip", "cut", "drop", "write", "insert", "copy"]))
        token = draw(st.sampled_from(TOKENS) | st.binary(min_size=1, max_size=8))
        match kind:
            case "flip" if data:
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del data[at:]
            case "drop":
                del data[at : at + size]
            case "write":
                data[at : at + len(token)] = token
            case "insert":
                data[at:at] = token
            case "copy":
                data[at:at] = data[at : at + size]
    return bytes(data)


def survives(data: bytes, name: str) -> dict[str, bytes] | None:
    """The files, extracted into a folder that nothing else may appear beside; None if refused."""
    try:
        archive = open_archive(data, name, SMALL)
    except BadArchive:
        return None
    try:
        read(archive)
    except BadManifest as error:
        assert error.problems
    with tempfile.TemporaryDirectory() as top:
        dest = Path(top) / "in" / "dest"
        archive.extract(dest)
        assert [path.name for path in Path(top).iterdir()] == ["in"]
        assert [path.name for path in (Path(top) / "in").iterdir()] == ["dest"]
        assert not any(path.is_symlink() for path in dest.rglob("*"))
        files = {
            path.relative_to(dest).as_posix(): path.read_bytes()
            for path in dest.rglob("*")
            if path.is_file()
        }
    assert {path: len(data) for path, data in files.items()} == archive.files
    prefix = f"{archive.root}/" if archive.root else ""
    return {prefix + path: data for path, data in files.items()}


@FUZZ
@given(damaged(ZIPS))
@example(ZIPS[0])
@example(ZIPS[2])
def test_zip(data: bytes) -> None:
    files = survives(data, "env.zip")
    if files is not None:
        with zipfile.ZipFile(io.BytesIO(data)) as z:
            assert files == {n: z.read(n) for n in z.namelist() if not n.endswith("/")}


@FUZZ
@given(damaged(TARS))
@example(TARS[0])
@example(TARS[1])
def test_tar_inside_sound_gzip(plain: bytes) -> None:
    data = gzip.compress(plain, mtime=0)
    files = survives(data, "env.tar.gz")
    if files is not None:
        with tarfile.open(fileobj=io.BytesIO(data)) as t:
            members = {m.name.removeprefix("./"): m for m in t if not m.isdir()}
            assert all(member.isreg() for member in members.values())
            assert files == {name: t.extractfile(m).read() for name, m in members.items()}


@FUZZ
@given(damaged([plain_tar(PROJECT)]))
def test_gzip(data: bytes) -> None:
    survives(data, "env.tar.gz")


@FUZZ
@given(damaged([wheel()]))
def test_wheel(data: bytes) -> None:
    survives(data, WHEEL_NAME)


@FUZZ
@given(st.binary(max_size=600), st.sampled_from(["e.zip", "e.tar.gz", WHEEL_NAME]))
def test_any_bytes(data: bytes, name: str) -> None:
    survives(data, name)


@FUZZ
@given(st.dictionaries(st.sampled_from(sorted(PROJECT)), st.binary(max_size=200), min_size=1))
def test_any_contents(files: dict[str, bytes]) -> None:
    for data, name in ((plain_zip(files), "e.zip"), (plain_tar(files), "e.tar.gz")):
        assert survives(data, name) == files
