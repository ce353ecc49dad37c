"""Packing a project folder for upload, the same bytes for the same files."""

import gzip
import io
import os
import stat
import tarfile
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from environments.archives import LIMITS, Limits
from environments.archives.base import MIB

# Left out at any depth: what tools leave behind, and files that usually hold secrets.
SKIPPED = (
    *(".git", ".hg", ".svn", ".venv", "__pycache__", "__MACOSX", "node_modules", "*.egg-info"),
    *(".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".tox", ".nox"),
    *("*.pyc", "*.pyo", ".DS_Store", "._*", ".env"),
)
# Left out at the top alone, since a package may well have a module of that name.
SKIPPED_AT_TOP = ("build", "dist")


class BadFolder(Exception):
    """The folder cannot be packed; the message says what to do."""


def pack(folder: Path, limits: Limits = LIMITS) -> bytes:
    """A .tar.gz of the project in `folder`, in memory.

    Names, order and times do not depend on the machine or the day. Raises BadFolder if there is
    no pyproject.toml, or something in it is neither a file nor a folder, or it is too large;
    whether the archive is acceptable otherwise is for `archives.check` to say.
    """
    if not (folder / "pyproject.toml").is_file():
        raise BadFolder(f"{folder} has no pyproject.toml. Name the folder of your project.")
    packed = io.BytesIO()
    total = 0
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for count, path in enumerate(_files(folder), start=1):
            info = tarfile.TarInfo(path.relative_to(folder).as_posix())
            info.size = path.lstat().st_size
            total += info.size
            if count > limits.entries or total > limits.total_bytes:
                raise BadFolder(
                    f"{folder} holds more than {limits.entries} files or "
                    f"{limits.total_bytes / MIB:g} MiB. Remove data, or move it out."
                )
            with path.open("rb") as file:
                tar.addfile(info, file)
    return packed.getvalue()


def _files(folder: Path) -> Iterator[Path]:
    """The files to pack, sorted by path."""
    found = []
    for top, folders, names in os.walk(folder):
        at = Path(top)
        folders[:] = [name for name in folders if not _skipped(at / name, folder)]
        found += [at / name for name in (*folders, *names) if not _skipped(at / name, folder)]
    for path in sorted(found, key=lambda path: path.relative_to(folder).parts):
        mode = path.lstat().st_mode
        if not path.name.isprintable() or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise BadFolder(
                f"{str(path)!a} is a link or another special file, or has an unprintable "
                "name. Replace it by a plain file."
            )
        if stat.S_ISREG(mode):
            yield path


def _skipped(path: Path, folder: Path) -> bool:
    patterns = SKIPPED + SKIPPED_AT_TOP if path.parent == folder else SKIPPED
    return any(fnmatch(path.name, pattern) for pattern in patterns)
