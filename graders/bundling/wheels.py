"""Unpacking wheels: reading a zip, which runs nothing of what is in it.

Wheels come from the package index or out of a build sandbox, so their names and sizes are not to
be trusted. What the wheel's metadata calls scripts, headers and data has no use in a bundle and
is left out.
"""

import shutil
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from graders.bundling.limits import MIB, BuildLimits
from graders.errors import EnvironmentFault

INSTALLED = ("purelib", "platlib")  # of NAME.data/
READ_ONLY, RUNNABLE = 0o444, 0o555
CLASHES = (FileExistsError, IsADirectoryError, NotADirectoryError)  # a file named as a folder
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


def unpack(wheel: Path, folder: Path, name: str, limits: BuildLimits) -> None:
    """Unpack a wheel into a new folder. `name` is for errors.

    Raises EnvironmentFault for one that is damaged, reaches out of the folder, or is too large.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            members = _members(archive, name)
            _judge_size(archive, members, name, limits)
            folder.mkdir(mode=0o755)
            folder.chmod(0o755)
            for member, path in members.items():
                _write(archive, member, folder, path)
    except (*DAMAGE, *CLASHES) as error:
        raise EnvironmentFault(f"The wheel {name} is damaged: {error}") from error


def _members(archive: zipfile.ZipFile, name: str) -> dict[str, PurePosixPath]:
    """Member -> where it goes, for those that are unpacked; a name that came twice counts once."""
    found = {}
    for info in archive.infolist():
        if not info.is_dir():
            path = _destination(info.filename, name)
            if path is not None:
                found[info.filename] = path
    return found


def _destination(member: str, name: str) -> PurePosixPath | None:
    path = PurePosixPath(member)
    if path.is_absolute() or ".." in path.parts or "\\" in member or not path.parts:
        raise EnvironmentFault(f"The wheel {name} has a file that leads out of it: {member!a}")
    if path.parts[0].endswith(".data") and len(path.parts) > 2:
        return PurePosixPath(*path.parts[2:]) if path.parts[1] in INSTALLED else None
    return path


def _judge_size(
    archive: zipfile.ZipFile, members: dict[str, PurePosixPath], name: str, limits: BuildLimits
) -> None:
    # `zipfile` gives no more bytes of a member than its header says, so these can be relied on.
    size = sum(archive.getinfo(member).file_size for member in members)
    if size > limits.bundle_mb * MIB or len(members) > limits.files:
        raise EnvironmentFault(
            f"The wheel {name} unpacks to {len(members)} files and {size / MIB:.0f} MiB; a bundle "
            f"may have {limits.files} and {limits.bundle_mb} MiB. Depend on something smaller."
        )


def _write(archive: zipfile.ZipFile, member: str, folder: Path, path: PurePosixPath) -> None:
    target = folder / path
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    target.unlink(missing_ok=True)  # two members may have one place
    with archive.open(member) as source, target.open("xb") as file:
        shutil.copyfileobj(source, file, 1 << 18)
    mode = archive.getinfo(member).external_attr >> 16
    target.chmod(RUNNABLE if mode & 0o111 else READ_ONLY)
