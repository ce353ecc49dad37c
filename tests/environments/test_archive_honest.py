"""What honest tools write is accepted, read back and extracted unchanged."""

import hashlib
import io
import os
import shutil
import stat
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
from making import PROJECT, WHEEL_NAME, codes, open_archive, plain_tar, plain_zip, wheel

from environments.archives import BadArchive, check

LONG = "tiny_env/" + "a" * 90 + "/" + "b" * 60 + ".txt"
FILES = PROJECT | {LONG: b"long", "tiny_env/data.bin": bytes(range(256)) * 900, "empty": b""}


class Pipe(io.RawIOBase):
    """A stream that cannot seek, as standard output is."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        self.data += data
        return len(data)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "tiny"
    for name, data in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def run(command: list[str | Path], folder: Path) -> bytes:
    return subprocess.run(command, cwd=folder, capture_output=True, check=True).stdout


def accepted(data: bytes, name: str, tmp_path: Path, files: dict[str, bytes] = FILES) -> None:
    archive = open_archive(data, name)
    assert archive.sha256 == hashlib.sha256(data).hexdigest()
    assert archive.size == len(data)
    assert archive.files == {name: len(data) for name, data in sorted(files.items())}
    assert {name: archive.read(name, 1 << 20) for name in files} == files
    archive.extract(tmp_path / "out")
    found = {
        path.relative_to(tmp_path / "out").as_posix(): path.read_bytes()
        for path in (tmp_path / "out").rglob("*")
        if path.is_file()
    }
    assert found == files


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zipfile(method: int, tmp_path: Path) -> None:
    accepted(plain_zip(FILES, method), "tiny.zip", tmp_path)


def test_zipfile_to_a_pipe(tmp_path: Path) -> None:
    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as z:
        for name, data in FILES.items():
            z.writestr(f"tiny/{name}", data)
        z.writestr("tiny/folder/", b"")
    accepted(bytes(pipe.data), "tiny.zip", tmp_path)


def test_stored_to_a_pipe_is_ambiguous() -> None:
    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w") as z:
        z.writestr("a.py", b"x = 1")
    assert codes(bytes(pipe.data), "tiny.zip") == ["ambiguous-end"]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("root", [".", "tiny-1.0"])
def test_tarfile(form: int, root: str, folder: Path, tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=form) as t:
        t.add(folder, root)
    accepted(out.getvalue(), "tiny.tar.gz", tmp_path)


def test_tarfile_to_a_pipe(folder: Path, tmp_path: Path) -> None:
    pipe = Pipe()
    with tarfile.open(fileobj=pipe, mode="w|gz") as t:
        t.add(folder, "tiny")
    accepted(bytes(pipe.data), "tiny.tgz", tmp_path)


@pytest.mark.parametrize(("form", "suffix"), [("zip", ".zip"), ("gztar", ".tar.gz")])
@pytest.mark.parametrize("base", [None, "tiny"])
def test_make_archive(
    form: str, suffix: str, base: str | None, folder: Path, tmp_path: Path
) -> None:
    root = folder if base is None else folder.parent
    made = Path(shutil.make_archive(str(tmp_path / "made"), form, root, base))
    accepted(made.read_bytes(), f"tiny{suffix}", tmp_path)


def test_tar_command(folder: Path, tmp_path: Path) -> None:
    for form in ("gnu", "pax", "ustar"):
        data = run(["tar", "--format", form, "-czf", "-", "."], folder)
        accepted(data, "tiny.tar.gz", tmp_path / form)


@pytest.mark.skipif(not shutil.which("zip"), reason="Info-ZIP is not installed")
def test_zip_command(folder: Path, tmp_path: Path) -> None:
    run(["zip", "-qr", tmp_path / "made.zip", "tiny"], folder.parent)
    accepted((tmp_path / "made.zip").read_bytes(), "tiny.zip", tmp_path / "file")
    piped = run(["zip", "-qr", "-", "tiny"], folder.parent)
    accepted(piped, "tiny.zip", tmp_path / "pipe")


@pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
@pytest.mark.parametrize(("form", "suffix"), [("zip", ".zip"), ("tar.gz", ".tar.gz")])
@pytest.mark.parametrize("prefix", ["", "tiny-main/"])
def test_git_archive(form: str, suffix: str, prefix: str, folder: Path, tmp_path: Path) -> None:
    """What a forge's "Download ZIP" gives: with the commit's id as comment."""
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    run(["git", "init", "-q"], folder)
    run(["git", "add", "-A"], folder)
    run(["git", *who, "commit", "-qm", "all"], folder)
    data = run(["git", "archive", f"--format={form}", f"--prefix={prefix}", "HEAD"], folder)
    accepted(data, f"tiny{suffix}", tmp_path)


def test_wheel(tmp_path: Path) -> None:
    data = wheel()
    with zipfile.ZipFile(io.BytesIO(data)) as z:
        files = {name: z.read(name) for name in z.namelist()}
    accepted(data, WHEEL_NAME, tmp_path, files)


class TestExtract:
    def test_modes(self, tmp_path: Path) -> None:
        before = os.umask(0o077)
        try:
            open_archive(plain_tar(PROJECT), "e.tar.gz").extract(tmp_path / "new" / "out")
        finally:
            os.umask(before)
        modes = {stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "new/out").rglob("*.py")}
        assert modes == {0o644}
        assert stat.S_IMODE((tmp_path / "new/out/tiny_env").stat().st_mode) == 0o755

    def test_refuses_what_is_there(self, tmp_path: Path) -> None:
        archive = open_archive(plain_tar(PROJECT), "e.tar.gz")
        (tmp_path / "file").write_text("mine")
        with pytest.raises(FileExistsError, match="not empty"):
            archive.extract(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["file"]

    def test_refuses_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to("real")
        with pytest.raises(FileExistsError, match="is a link"):
            open_archive(plain_tar(PROJECT), "e.tar.gz").extract(tmp_path / "link")
        assert not list((tmp_path / "real").iterdir())

    def test_follows_no_link_that_appears(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A folder is swapped for a link between being made and being entered."""
        outside = tmp_path / "outside"
        outside.mkdir()
        made = os.mkdir

        def swap(path: str, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
            made(path, mode, dir_fd=dir_fd)
            if path == "tiny_env":
                os.rmdir(path, dir_fd=dir_fd)
                os.symlink(outside, path, dir_fd=dir_fd)

        archive = open_archive(plain_zip(PROJECT), "e.zip")
        monkeypatch.setattr(os, "mkdir", swap)
        with pytest.raises(OSError, match=r"Not a directory|symbolic link"):
            archive.extract(tmp_path / "out")
        assert not list(outside.iterdir())

    def test_notices_a_changed_file(self, tmp_path: Path) -> None:
        path = tmp_path / "e.tar.gz"
        path.write_bytes(plain_tar(PROJECT))
        with path.open("rb") as file:
            archive = check(file, path.name)
            path.write_bytes(b"\0" * path.stat().st_size)
            with pytest.raises(BadArchive, match="not the one that was checked"):
                archive.extract(tmp_path / "out")
