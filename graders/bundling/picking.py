"""Which file of a package is used: the best wheel for the sandbox's Python, else its source."""

import platform
from collections.abc import Iterable

from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    parse_sdist_filename,
    parse_wheel_filename,
)

from graders.bundling.index import PLAIN, File
from graders.bundling.lock import Pin
from graders.sandbox.interpreters import minor

# The C library of Debian 12's time; `uv` is told the same.
GLIBC = 28
OLDEST_GLIBC = {"x86_64": 5, "aarch64": 17}
ALIASES = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}


def machine() -> str:
    """This machine's architecture, as wheels name it."""
    name = platform.machine()
    return {"AMD64": "x86_64", "arm64": "aarch64"}.get(name, name)


def tags(python: str) -> list[Tag]:
    """The tags of wheels that a Python ("3.11") can use here, the best first."""
    major, number = map(int, minor(python).split("."))
    version = (major, number)
    arch = machine()
    platforms = []
    for glibc in range(GLIBC, OLDEST_GLIBC.get(arch, 17) - 1, -1):
        platforms.append(f"manylinux_2_{glibc}_{arch}")
        if glibc in ALIASES:
            platforms.append(f"{ALIASES[glibc]}_{arch}")
    platforms.append(f"linux_{arch}")
    interpreter = f"cp{major}{number}"
    return [
        *cpython_tags(version, platforms=platforms),
        *compatible_tags(version, interpreter, platforms),
    ]


def wheel(pin: Pin, files: Iterable[File], wanted: list[Tag]) -> File | None:
    """The best wheel that the pin allows, None if there is none."""
    rank = {tag: place for place, tag in enumerate(wanted)}
    found = []
    for file in files:
        if file.sha256 in pin.hashes:
            usable = _tags(file.filename, pin) & rank.keys()
            if usable:
                found.append((min(rank[tag] for tag in usable), file.filename, file))
    return min(found, key=lambda one: one[:2])[2] if found else None


def source(pin: Pin, files: Iterable[File]) -> File | None:
    """The source archive that the pin allows, None if there is none."""
    found = [file for file in files if file.sha256 in pin.hashes and _is_source(file.filename, pin)]
    return min(found, key=lambda file: not file.filename.endswith(".tar.gz"), default=None)


def fits(filename: str, pin: Pin, wanted: list[Tag]) -> bool:
    """Whether a wheel that was built is of the pinned version, and of use here."""
    return bool(PLAIN.fullmatch(filename)) and not _tags(filename, pin).isdisjoint(wanted)


def _is_source(filename: str, pin: Pin) -> bool:
    try:
        name, version = parse_sdist_filename(filename)
    except InvalidSdistFilename:
        return False
    return (name, str(version)) == (pin.name, pin.version)


def _tags(filename: str, pin: Pin) -> frozenset[Tag]:
    """The tags of a wheel of the pinned version; none for any other file."""
    try:
        name, version, _, tags = parse_wheel_filename(filename)
    except InvalidWheelFilename:
        return frozenset()
    return tags if (name, str(version)) == (pin.name, pin.version) else frozenset()
