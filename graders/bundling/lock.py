"""The lock of a version: exactly one wheel of each package, and its data, by digest.

    # Python 3.11
    cellpylib==2.4.0 --hash=sha256:… # cellpylib-2.4.0-py3-none-any.whl, built from sha256:…
    numpy==2.3.5 --hash=sha256:… # numpy-2.3.5-cp311-cp311-manylinux_2_27_x86_64….whl
    # data {"path": "words.txt", "sha256": "…", "size": 9, "url": "https://example.org/words.txt"}

Each line is one that pip and uv read too.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TypeVar

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from environments.manifest.data import DIGEST, clashing, inner_path

HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})(?=\s|$)")
FILENAME = re.compile(r" # ([A-Za-z0-9._+!-]+\.whl)(?=,|$)")
DATA = "# data "
BUILT = re.compile(r"#.*, built from sha256:([0-9a-f]{64})$")


class BadLock(ValueError):
    """This is no lock."""


@dataclass(frozen=True)
class Pin:
    """One package at one version, and the digests of the files that may be used of it."""

    name: str
    version: str
    hashes: frozenset[str]


@dataclass(frozen=True)
class Locked:
    """The one wheel of a package. `built_from` is the source archive's digest, if it was built."""

    name: str
    version: str
    sha256: str
    filename: str
    built_from: str | None = None

    def __str__(self) -> str:
        built = f", built from sha256:{self.built_from}" if self.built_from else ""
        pin = f"{self.name}=={self.version} --hash=sha256:{self.sha256}"
        return f"{pin} # {self.filename}{built}"


@dataclass(frozen=True)
class DataFile:
    """One file of a version's data: where it lies below the data folder, its digest, its bytes.

    `url` is where it was fetched from, None if the version's `prepare` left it.
    """

    path: str
    sha256: str
    size: int
    url: str | None = None

    def __str__(self) -> str:
        return DATA + json.dumps(asdict(self), sort_keys=True)


P = TypeVar("P", Pin, Locked)


def pins(text: str) -> list[Pin]:
    """The pins of what `uv pip compile --generate-hashes` wrote. Raises BadLock."""
    joined = text.replace("\\\n", " ")
    found = [_pin(line) for line in map(str.strip, joined.splitlines()) if line and line[0] != "#"]
    return _each_once(found)


def write(wheels: list[Locked], python: str, data: Iterable[DataFile] = ()) -> str:
    """The lock's text, for a Python such as "3.11"; sorted by name."""
    lines = sorted(str(wheel) for wheel in wheels)
    lines += sorted(str(file) for file in data)
    return "\n".join([f"# Python {python}", *lines]) + "\n"


def read(text: str) -> list[Locked]:
    """The wheels of a lock's text. Raises BadLock."""
    return _each_once([_locked(line) for line in text.splitlines() if line and line[0] != "#"])


def read_data(text: str) -> list[DataFile]:
    """The data of a lock's text. Raises BadLock."""
    lines = [line.removeprefix(DATA) for line in text.splitlines() if line.startswith(DATA)]
    found = [_data(line) for line in lines]
    if clash := clashing(file.path for file in found):
        raise BadLock(f"{clash!r} is the path of two files")
    return found


def _data(line: str) -> DataFile:
    try:
        file = DataFile(**json.loads(line))
        inner_path(file.path)
    except (ValueError, TypeError, AttributeError) as error:
        raise BadLock(f"{line[:200]!r} is no data") from error
    if not DIGEST.fullmatch(file.sha256) or type(file.size) is not int:
        raise BadLock(f"{line[:200]!r} is no data")
    return file


def _each_once(found: list[P]) -> list[P]:
    for name, times in Counter(one.name for one in found).items():
        if times > 1:
            raise BadLock(f"{name} is pinned {times} times")
    return found


def _pin(line: str) -> Pin:
    words = line.split("--hash", 1)[0]
    try:
        requirement = Requirement(words)
        (specifier,) = requirement.specifier
        version = Version(specifier.version)
    except (InvalidRequirement, InvalidVersion, ValueError) as error:
        raise BadLock(f"{line[:200]!r} pins no version") from error
    if specifier.operator != "==" or requirement.url:
        raise BadLock(f"{line[:200]!r} pins no version")
    hashes = frozenset(HASH.findall(line))
    if not hashes:
        raise BadLock(f"{line[:200]!r} has no hash")
    return Pin(str(canonicalize_name(requirement.name)), str(version), hashes)


def _locked(line: str) -> Locked:
    pin = _pin(line.partition(" #")[0])
    filename = FILENAME.search(line)
    built = BUILT.search(line)
    if len(pin.hashes) != 1 or filename is None:
        raise BadLock(f"{line[:200]!r} does not name one wheel")
    (sha256,) = pin.hashes
    return Locked(pin.name, pin.version, sha256, filename[1], built[1] if built else None)
