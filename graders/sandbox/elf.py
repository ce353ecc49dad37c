"""Which shared objects an ELF file needs, as its own loader resolves them."""

import os
import struct
import subprocess
from pathlib import Path

PT_INTERP = 3


def loader(executable: Path) -> Path | None:
    """The dynamic loader that a 64-bit little-endian executable names; None if it is static."""
    with executable.open("rb") as file:
        header = file.read(64)
        if header[:6] != b"\x7fELF\x02\x01":
            raise ValueError(f"{executable} is not a 64-bit little-endian ELF file")
        (table,) = struct.unpack_from("<Q", header, 32)
        size, count = struct.unpack_from("<HH", header, 54)
        for index in range(count):
            file.seek(table + index * size)
            kind, _, offset, _, _, length = struct.unpack("<IIQQQQ", file.read(40))
            if kind == PT_INTERP:
                file.seek(offset)
                return Path(os.fsdecode(file.read(length).rstrip(b"\0")))
    return None


def needed(file: Path, with_loader: Path) -> dict[str, Path]:
    """Name -> path of every shared object that loading `file` pulls in; missing ones left out."""
    listing = subprocess.run(  # noqa: S603
        [with_loader, "--list", file], capture_output=True, text=True, env={}, check=False
    )
    found = {}
    for line in listing.stdout.splitlines():
        name, arrow, rest = line.strip().partition(" => ")
        if arrow and rest.startswith("/"):
            found[name] = Path(rest.rsplit(" (", 1)[0])
    return found
