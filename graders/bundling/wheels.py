"""Unpacking wheels: reading a zip, which runs nothing of what is in it.

Wheels come from the package index or out of a build sandbox, so their names and sizes are not to
be trusted. What the wheel's metadata calls scripts, headers and data has no use in a bundle and
is left out.
"""

import io
import os
import shutil
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from graders.bundling.limits import MIB, BuildLimits
from graders.errors import EnvironmentFault

INSTALLED = ("purelib", "platlib")  # of NAME.data/
READ_ONLY, RUNNABLE, FOLDER = 0o444, 0o555, 0o755
CLASHES = (FileExistsError, IsADirectoryError, NotADirectoryError)  # a file named as a folder
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError)
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ENCRYPTED = 0x1
LONGEST, DEEPEST = 255, 40  # bytes of a name, parts of a path
LISTING = 16 << 20  # bytes of the archive's list of its members


def unpack(wheel: Path, folder: Path, name: str, limits: BuildLimits) -> None:
    """Unpack a wheel into a new folder. `name` is for errors.

    Raises EnvironmentFault for one that is damaged, reaches out of the folder, or is too large.
    """
    try:
        with _Careful(wheel) as file, zipfile.ZipFile(file) as archive:
            members = _members(archive, name)
            _judge_size(archive, members, name, limits)
            folder.mkdir()
            for member, path in members.items():
                _write(archive, member, folder, path)
    except (*DAMAGE, *CLASHES) as error:
        raise EnvironmentFault(f"The wheel {name} is damaged: {error}") from error
    open_folders(folder)


def open_folders(top: Path) -> None:
    """Let whoever runs inside a sandbox into a tree's folders, whatever this process's umask."""
    for path in (top, *top.rglob("*")):
        if path.is_dir():
            path.chmod(FOLDER)


class _Careful(io.FileIO):
    """A file that is not read into memory whole: `zipfile` would do so with a list of members."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > LISTING:
            raise zipfile.BadZipFile("the list of its members is too large")
        return super().read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        if whence == os.SEEK_SET and offset < 0:  # which an offset of a damaged archive may be
            raise zipfile.BadZipFile("a member lies before its beginning")
        return super().seek(offset, whence)


def _members(archive: zipfile.ZipFile, name: str) -> dict[str, PurePosixPath]:
    """Member -> where it goes, for those that are unpacked; a name that came twice counts once."""
    found = {}
    for info in archive.infolist():
        if info.compress_type not in METHODS or info.flag_bits & ENCRYPTED:
            raise zipfile.BadZipFile(f"{info.filename!a} is encrypted or of unknown compression")
        if not info.is_dir():
            path = _destination(info.filename, name)
            if path is not None:
                found[info.filename] = path
    return found


def _destination(member: str, name: str) -> PurePosixPath | None:
    path = PurePosixPath(member)
    if path.is_absolute() or ".." in path.parts or "\\" in member or not path.parts:
        raise EnvironmentFault(f"The wheel {name} has a file that leads out of it: {member!a}")
    if len(path.parts) > DEEPEST or max(map(len, map(os.fsencode, path.parts))) > LONGEST:
        raise EnvironmentFault(f"The wheel {name} has a file with too long a name: {member[:99]!a}")
    if path.parts[0].endswith(".data") and len(path.parts) > 2:
        return PurePosixPath(*path.parts[2:]) if path.parts[1] in INSTALLED else None
    return path


def _judge_size(
    archive: zipfile.ZipFile, members: dict[str, PurePosixPath], name: str, limits: BuildLimits
) -> None:
    # `zipfile` gives no more bytes of a member than its header says, so these can be relied on.
    size = sum(archive.getinfo(member).file_size for member in members)
    count = len(members) + len({parent for path in members.values() for parent in path.parents})
    if size > limits.bundle_mb * MIB or count > limits.files:
        raise EnvironmentFault(
            f"The wheel {name} unpacks to {count} files and {size / MIB:.0f} MiB; a bundle "
            f"may have {limits.files} and {limits.bundle_mb} MiB. Depend on something smaller."
        )


def _write(archive: zipfile.ZipFile, member: str, folder: Path, path: PurePosixPath) -> None:
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)  # two members may have one place
    with archive.open(member) as source, target.open("xb") as file:
        shutil.copyfileobj(source, file, 1 << 18)
    mode = archive.getinfo(member).external_attr >> 16
    target.chmod(RUNNABLE if mode & 0o111 else READ_ONLY)
