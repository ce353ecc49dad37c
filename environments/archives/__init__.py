"""Uploaded archives: judged whole before anything in them is used, then read and extracted.

`check` is the way in. It never writes, and holds no more than a few chunks of a member at a time.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from environments.archives import contents, tars, wheels, zips
from environments.archives.base import (
    LIMITS,
    BadArchive,
    Body,
    Damaged,
    Fault,
    Faults,
    Kind,
    Limits,
    Member,
    Stop,
    TooLarge,
    digest,
)
from environments.archives.names import Names

__all__ = ["LIMITS", "Archive", "BadArchive", "Fault", "Kind", "Limits", "check"]

SUFFIXES: tuple[tuple[str, Kind], ...] = (
    (".zip", "zip"),
    (".whl", "wheel"),
    (".tar.gz", "tar.gz"),
    (".tgz", "tar.gz"),
)


@dataclass(frozen=True)
class Archive:
    """A checked archive. It reads from the file it was checked in, which must stay open.

    `files` maps the path of every regular file to its size in bytes, sorted by path. Where all
    lie in one top-level folder, as in an sdist, that folder is left out of the paths and named in
    `root` ("" otherwise). Not safe to use from several threads at once.
    """

    kind: Kind
    filename: str
    sha256: str
    size: int
    root: str
    files: dict[str, int]
    _body: Body = field(repr=False)
    _members: dict[str, Member] = field(repr=False)

    def read(self, path: str, max_bytes: int) -> bytes:
        """One file's bytes. Raises FileNotFoundError; ValueError if larger than `max_bytes`."""
        if path not in self.files:
            raise FileNotFoundError(path)
        if self.files[path] > max_bytes:
            raise ValueError(f"{path} has {self.files[path]} bytes, more than {max_bytes}")
        return b"".join(chunk for _, chunks in self.stream([path]) for chunk in chunks)

    def stream(self, paths: Iterable[str]) -> Iterator[tuple[str, Iterator[bytes]]]:
        """The named files with their bytes in chunks, in an order of the archive's own.

        Use up one file's chunks before asking for the next. Raises BadArchive if the file is no
        longer the one that was checked.
        """
        names = {self._members[path].name: path for path in paths}
        members = [self._members[path] for path in names.values()]
        try:
            for member, chunks in self._body.contents(members):
                yield names[member.name], _faithful(chunks, member.name)
        except (Damaged, TooLarge) as error:
            raise _changed("") from error

    def extract(self, dest: Path) -> None:
        """Write every file under `dest`, a new or empty folder; files 0644, folders 0755.

        Follows no link under `dest`. Raises FileExistsError if `dest` is a link or not empty, and
        OSError; what was written by then stays.
        """
        dest.mkdir(mode=0o755, parents=True, exist_ok=True)
        try:
            root = os.open(dest, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except NotADirectoryError as error:
            raise FileExistsError(f"{dest} is a link") from error
        try:
            with os.scandir(root) as entries:
                if any(entries):
                    raise FileExistsError(f"{dest} is not empty")
            for path, chunks in self.stream(self.files):
                _write(root, PurePosixPath(path), chunks)
        finally:
            os.close(root)


def check(file: BinaryIO, filename: str, limits: Limits = LIMITS) -> Archive:
    """Judge an uploaded archive: a .zip, .tar.gz (.tgz) or .whl in a seekable file.

    Raises BadArchive with every fault that could safely be looked for.
    """
    kind = _kind(filename)
    sha256, size = digest(file, limits)
    faults = Faults(limits.faults)
    names = Names(faults, limits, kind)
    walk = tars.walk if kind == "tar.gz" else zips.walk
    members: list[Member] = []
    with suppress(Stop):
        members = walk(file, size, limits, faults, names)
        if not faults and all(member.folder for member in members):
            faults.add("empty", "", "It holds no files. Pack the folder of your environment.")
    names.finish()
    faults.check()
    body = (
        tars.TarBody(file, size, limits.unpacked(size)) if kind == "tar.gz" else zips.ZipBody(file)
    )
    archive = _archive(kind, filename, sha256, size, body, members)
    if kind == "wheel":
        with suppress(Stop):
            wheels.check(archive, filename, faults)
        faults.check()
    contents.check(archive, limits, faults)
    faults.check()
    return archive


def _kind(filename: str) -> Kind:
    for suffix, kind in SUFFIXES:
        if filename.lower().endswith(suffix):
            return kind
    message = "The file's name must end in .tar.gz, .zip or .whl. Pack the folder as one of them."
    raise BadArchive([Fault("unknown-kind", "", message)])


def _archive(
    kind: Kind, filename: str, sha256: str, size: int, body: Body, members: list[Member]
) -> Archive:
    by_name = {member.name: member for member in members if not member.folder}
    root = "" if kind == "wheel" else _root(by_name)
    by_path = {name[len(root) + 1 if root else 0 :]: by_name[name] for name in sorted(by_name)}
    files = {path: member.size for path, member in by_path.items()}
    return Archive(kind, filename, sha256, size, root, files, body, by_path)


def _root(names: Iterable[str]) -> str:
    """The one folder that all files lie in, unless it is itself a Python package."""
    names = set(names)
    top, *more = {name.partition("/")[0] for name in names}
    if more or top in names:
        return ""
    bare_package = f"{top}/__init__.py" in names and f"{top}/pyproject.toml" not in names
    return "" if bare_package else top


def _changed(name: str) -> BadArchive:
    return BadArchive([Fault("changed", name, "The file is not the one that was checked.")])


def _faithful(chunks: Iterator[bytes], name: str) -> Iterator[bytes]:
    try:
        yield from chunks
    except (Damaged, TooLarge) as error:
        raise _changed(name) from error


def _write(root: int, path: PurePosixPath, chunks: Iterator[bytes]) -> None:
    with ExitStack() as stack:
        folder = root
        for part in path.parts[:-1]:
            folder = _enter(folder, part)
            stack.callback(os.close, folder)
            os.fchmod(folder, 0o755)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(path.name, flags, 0o600, dir_fd=folder), "wb") as out:
            out.writelines(chunks)
            os.fchmod(out.fileno(), 0o644)


def _enter(parent: int, name: str) -> int:
    """Open the folder `name` in `parent`, made if missing."""
    with suppress(FileExistsError):
        os.mkdir(name, 0o755, dir_fd=parent)
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
