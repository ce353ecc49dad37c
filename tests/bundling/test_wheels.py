"""Unpacking wheels that attack."""

import io
import os
import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from graders.bundling import wheels
from graders.bundling.limits import BuildLimits
from graders.errors import EnvironmentFault
from tests.bundling.packages import wheel, zipped


@pytest.fixture
def unpack(tmp_path: Path):
    def run(content: bytes, **limits: int) -> Path:
        path = tmp_path / "made.whl"
        path.write_bytes(content)
        wheels.unpack(path, tmp_path / "tree", "made.whl", BuildLimits(**limits))
        return tmp_path / "tree"

    return run


def archive(*members: tuple[zipfile.ZipInfo | str, bytes], method: int = 0) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", method) as made:
        for info, content in members:
            made.writestr(info, content)
    return held.getvalue()


def names(tree: Path) -> set[str]:
    return {str(path.relative_to(tree)) for path in tree.rglob("*") if not path.is_dir()}


def test_a_wheel_is_its_files(unpack):
    tree = unpack(wheel("demo", files={"pkg/sub/a.py": b"1", "pkg/empty/": b""})[1])
    info = {f"demo-1.0.dist-info/{name}" for name in ("METADATA", "WHEEL", "RECORD")}
    assert names(tree) == {"demo.py", "pkg/sub/a.py"} | info
    assert (tree / "pkg/sub/a.py").read_bytes() == b"1"


def test_modes_are_the_same_whatever_the_umask(unpack):
    tool = zipfile.ZipInfo("bin/tool")
    tool.external_attr = 0o104777 << 16  # set-uid, open to all
    closed = zipfile.ZipInfo("pkg/closed.py")
    closed.external_attr = 0o100000 << 16
    before = os.umask(0o077)
    try:
        tree = unpack(archive((tool, b"#!"), (closed, b"1")))
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o7777 for path in (tree, *tree.rglob("*"))}
    assert modes == {
        "tree": 0o755, "bin": 0o755, "pkg": 0o755, "tool": 0o555, "closed.py": 0o444,
    }  # fmt: skip


def test_data_folders_are_laid_over_or_left_out(unpack):
    files = {
        "demo-1.0.data/purelib/pure.py": b"1",
        "demo-1.0.data/platlib/pkg/plat.py": b"2",
        "demo-1.0.data/scripts/tool": b"3",
        "demo-1.0.data/headers/x.h": b"4",
        "demo-1.0.data/data/etc/passwd": b"5",
        "inner/demo.data/purelib/kept.py": b"6",
    }
    found = names(unpack(zipped(files)))
    assert found == {"pure.py", "pkg/plat.py", "inner/demo.data/purelib/kept.py"}


@pytest.mark.parametrize(
    "name",
    [
        "../evil.py",
        "pkg/../../evil.py",
        "pkg/..",
        "/evil.py",
        "//evil.py",
        "..",
        "pkg\\..\\..\\evil.py",
        "C:\\evil.py",
        "demo-1.0.data/purelib/../../evil.py",
        "demo-1.0.data/../evil.py",
    ],
)
def test_nothing_leads_out(unpack, tmp_path, name):
    with pytest.raises(EnvironmentFault, match=r"leads out of it|damaged"):
        unpack(archive((zipfile.ZipInfo(name), b"x")))
    assert not list(tmp_path.rglob("evil*"))


def test_names_that_only_look_like_a_way_out_stay_inside(unpack):
    found = names(unpack(zipped({"./a.py": b"1", "pkg//b.py": b"2", "..c/d.py": b"3"})))
    assert found == {"a.py", "pkg/b.py", "..c/d.py"}


@pytest.mark.parametrize("name", ["a" * 256, "é" * 128, "/".join("a" * 41), "a/" * 30_000 + "b"])
def test_names_too_long_for_a_disk_are_the_wheels_fault(unpack, name):
    with pytest.raises(EnvironmentFault, match="too long a name"):
        unpack(archive((zipfile.ZipInfo(name), b"x")))


def test_links_are_files_with_the_targets_name_in_them(unpack):
    link = zipfile.ZipInfo("pkg/link")
    link.external_attr = 0o120777 << 16
    tree = unpack(archive((link, b"/etc/passwd")))
    assert not (tree / "pkg/link").is_symlink()
    assert (tree / "pkg/link").read_bytes() == b"/etc/passwd"


@pytest.mark.parametrize("members", [["a", "a/b"], ["a/b", "a"], ["x.data/purelib/a/b", "a"]])
def test_a_file_cannot_be_a_folder_too(unpack, members):
    with pytest.raises(EnvironmentFault, match=r"made\.whl is damaged"):
        unpack(archive(*((zipfile.ZipInfo(name), b"x") for name in members)))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_comes_twice_is_one_file(unpack):
    tree = unpack(archive(("a.py", b"first"), ("a.py", b"second"), ("./a.py", b"third")))
    assert names(tree) == {"a.py"}
    assert (tree / "a.py").read_bytes() in (b"second", b"third")


def test_bombs_are_refused_unopened(unpack, tmp_path):
    bomb = archive(("zeros", b"\0" * (3 << 20)), method=zipfile.ZIP_DEFLATED)
    assert len(bomb) < 10_000
    with pytest.raises(EnvironmentFault, match="3 MiB"):
        unpack(bomb, bundle_mb=2)
    with pytest.raises(EnvironmentFault, match=r"unpacks to \d+ files"):
        unpack(zipped({f"f{number}": b"" for number in range(20)}), files=10)
    assert not (tmp_path / "tree").exists()


def test_folders_count_as_files(unpack):
    deep = {f"{number}/" + "d/" * 30 + "x": b"" for number in range(10)}
    with pytest.raises(EnvironmentFault, match=r"unpacks to 3\d\d files"):
        unpack(zipped(deep), files=100)


def test_a_size_that_is_a_lie_gives_no_more_bytes(unpack, tmp_path):
    content = bytearray(archive(("a", b"\0" * 100_000), method=zipfile.ZIP_DEFLATED))
    central = content.rindex(b"PK\1\2")
    content[central + 24 : central + 28] = struct.pack("<L", 10)
    with pytest.raises(EnvironmentFault, match="damaged"):
        unpack(bytes(content))
    assert sum(path.stat().st_size for path in (tmp_path / "tree").rglob("*")) <= 10


def zip64_lie(size: int) -> bytes:
    """A member whose size stands in a zip64 field, and is not true."""
    extra = struct.pack("<HHQ", 1, 8, size)
    local = struct.pack("<4s5HLLLHH", b"PK\3\4", 45, 0, 0, 0, 33, 0, 0, 0, 1, 0) + b"a"
    central = struct.pack(
        "<4s6HLLLHHHHHLL", b"PK\1\2", 45, 45, 0, 0, 0, 33, 0, 0, 0xFFFFFFFF, 1, len(extra), 0, 0, 0,
        0, 0,
    ) + b"a" + extra  # fmt: skip
    end = struct.pack("<4s4HLLH", b"PK\5\6", 0, 0, 1, 1, len(central), len(local), 0)
    return local + central + end


def test_zip64_lies(unpack):
    for size in (2049 << 20, 1 << 63):
        with pytest.raises(EnvironmentFault, match=r"unpacks to 2 files and \d+ MiB"):
            unpack(zip64_lie(size))
    assert (unpack(zip64_lie(1000)) / "a").stat().st_size == 0


def test_a_list_of_members_that_would_fill_the_memory(unpack):
    """zipfile makes an object of about 600 bytes from 47 bytes of the list."""
    entry = struct.pack("<4s6HLLLHHHHHLL", b"PK\1\2", 20, 20, 0, 0, 0, 33, *[0] * 3, 1, *[0] * 6)
    count = 400_000
    listing = (entry + b"a") * count
    end = struct.pack("<4s4HLLH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, len(listing), 0, 0)
    tracemalloc.start()
    try:
        with pytest.raises(EnvironmentFault, match="list of its members is too large"):
            unpack(listing + end)
        assert tracemalloc.get_traced_memory()[1] < len(listing) * 2.5
    finally:
        tracemalloc.stop()


def flagged(flag: int, method: int = 0) -> bytes:
    """A stored member that says it is encrypted, or compressed in another way."""
    content = bytearray(archive(("a", b"secret")))
    central = content.rindex(b"PK\1\2")
    for at in (6, central + 8):
        content[at : at + 4] = struct.pack("<HH", flag, method)
    return bytes(content)


@pytest.mark.parametrize(
    "content",
    [
        flagged(1),
        flagged(0, 99),
        flagged(0, 6),
        archive(("a", b"x" * 100), method=zipfile.ZIP_BZIP2),
        archive(("a", b"x" * 100), method=zipfile.ZIP_LZMA),
    ],
    ids=["encrypted", "aes", "imploded", "bzip2", "lzma"],
)
def test_encryption_and_rare_compression_are_refused(unpack, content):
    with pytest.raises(EnvironmentFault, match="encrypted or of unknown compression"):
        unpack(content)


GOOD = archive(("pkg/a.py", b"a" * 1000), method=zipfile.ZIP_DEFLATED)
LATIN = archive(("pkg/é.py", b"1")).replace("é".encode(), b"\xff\xff")


@pytest.mark.parametrize(
    "content",
    [b"", b"PK", b"not a zip", GOOD[:-10], GOOD[: len(GOOD) // 2], GOOD[30:], LATIN],
    ids=["empty", "magic", "text", "cut", "half", "headless", "not UTF-8"],
)
def test_damage_is_the_wheels_fault(unpack, content):
    with pytest.raises(EnvironmentFault, match=r"made\.whl"):
        unpack(content)


def test_every_single_byte_of_damage_is_the_wheels_fault_or_harmless(tmp_path):
    """No other error comes out of `unpack`, whatever one byte is."""
    path = tmp_path / "made.whl"
    for at in range(len(GOOD)):
        for flip in (0x01, 0x80, 0xFF):
            broken = bytearray(GOOD)
            broken[at] ^= flip
            path.write_bytes(broken)
            try:
                wheels.unpack(path, tmp_path / f"tree-{at}-{flip}", "made.whl", BuildLimits())
            except EnvironmentFault:
                continue
