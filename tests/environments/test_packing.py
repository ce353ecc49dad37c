"""A project folder becomes an archive that is accepted, and always the same one."""

import os
from pathlib import Path

import pytest
from making import PROJECT, open_archive

from environments.archives import Limits
from environments.manifest import read
from environments.packing import BadFolder, pack

LEFT = {
    ".git/config": b"",
    ".venv/bin/python": b"",
    "build/lib/x.py": b"",
    "dist/tiny-1.0.tar.gz": b"",
    "tiny_env/__pycache__/core.cpython-311.pyc": b"",
    "tiny_env/old.pyc": b"",
    ".DS_Store": b"",
    "tiny_env/._core.py": b"",
    "tiny_env.egg-info/PKG-INFO": b"",
    ".env": b"SECRET=1",
}
KEPT = PROJECT | {
    "tiny_env/build/__init__.py": b"",
    "tiny_env/" + "d" * 90 + "/" + "é" * 30 + ".txt": b"x",
    ".gitignore": b"",
}


def fill(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def test_packs_the_project_and_no_more(tmp_path: Path) -> None:
    archive = open_archive(pack(fill(tmp_path, KEPT | LEFT)), "tiny.tar.gz")
    assert {name: archive.read(name, 1 << 20) for name in archive.files} == KEPT
    assert [one.entry for one in read(archive)] == ["tiny_env.core:make"]


def test_same_files_same_bytes(tmp_path: Path) -> None:
    first = fill(tmp_path / "one", KEPT)
    second = fill(tmp_path / "two", dict(reversed(KEPT.items())))
    for path in second.rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(0o700)
    assert pack(first) == pack(second)
    (second / "README.md").write_text("other")
    assert pack(first) != pack(second)


def test_not_a_project(tmp_path: Path) -> None:
    with pytest.raises(BadFolder, match="Name the folder of your project"):
        pack(tmp_path)
    with pytest.raises(BadFolder):
        pack(tmp_path / "missing")


@pytest.mark.parametrize("target", ["core.py", "/etc/passwd", "..", "nowhere"])
def test_links(target: str, tmp_path: Path) -> None:
    fill(tmp_path, PROJECT)
    (tmp_path / "tiny_env" / "link").symlink_to(target)
    with pytest.raises(BadFolder, match="is a link"):
        pack(tmp_path)


def test_links_in_what_is_left_out(tmp_path: Path) -> None:
    fill(tmp_path, PROJECT)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "python").symlink_to("/usr/bin/python3")
    (tmp_path / "node_modules").symlink_to("/usr")
    assert open_archive(pack(tmp_path), "e.tar.gz").files.keys() == PROJECT.keys()


def test_special_files(tmp_path: Path) -> None:
    fill(tmp_path, PROJECT)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadFolder, match="special file"):
        pack(tmp_path)


def test_unprintable_name(tmp_path: Path) -> None:
    fill(tmp_path, PROJECT)
    os.close(os.open(os.fsencode(tmp_path) + b"/\xff", os.O_CREAT))
    with pytest.raises(BadFolder, match="unprintable"):
        pack(tmp_path)


def test_too_much(tmp_path: Path) -> None:
    fill(tmp_path, PROJECT)
    assert pack(tmp_path, Limits(entries=len(PROJECT)))
    with pytest.raises(BadFolder, match="more than 3 files"):
        pack(tmp_path, Limits(entries=3))
    with pytest.raises(BadFolder, match="more than"):
        pack(tmp_path, Limits(total_bytes=100))
