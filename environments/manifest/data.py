"""Data that a version declares: files that a build fetches, each by its digest."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from environments.manifest.base import Table, text
from environments.manifest.code import Code
from environments.manifest.hub import entry

DATA_KEYS = ("data", "prepare")
KEYS = ("url", "sha256", "path")
MOST = 100
URL_LENGTH, PATH_LENGTH = 2000, 400
DEEPEST, LONGEST = 20, 255  # parts of a path, bytes of a part
DIGEST = re.compile("[0-9a-f]{64}")
VISIBLE = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True)
class Needed:
    """What a package needs at build: files with the keys `KEYS`, and what prepares more."""

    data: tuple[dict[str, str], ...]
    prepare: str | None


def package_data(table: Table, code: Code) -> Needed:
    """What the table says of data; what is wrong with it is reported."""
    files = table.each("data", _file, MOST)
    if clash := clashing(file["path"] for file in files):
        message = f"{clash!r} is the path of two files, or of a file and a folder. Rename one."
        table.problems.add(table.label("data"), message)
    return Needed(files, table.field("prepare", lambda value: _own(value, code), None))


def inner_path(path: str) -> str:
    """The path, if it is one of plain parts below a folder. Raises ValueError."""
    parts = path.split("/")
    if {"", ".", ".."}.intersection(parts) or "\\" in path or not path.isprintable():
        raise ValueError(f"The path {path[:200]!a} must be relative, as in 'words/en.txt'.")
    long = max(len(os.fsencode(part)) for part in parts) > LONGEST
    if long or len(parts) > DEEPEST or len(path) > PATH_LENGTH:
        raise ValueError(f"The path {path[:200]!a} is too long or too deep.")
    return path


def clashing(paths: Iterable[str]) -> str | None:
    """A path that comes twice or that others lie below, if there is one."""
    seen: set[str] = set()
    folders: set[str] = set()
    for path in paths:
        above = {path[:at] for at, sign in enumerate(path) if sign == "/"}
        if path in seen | folders or not above.isdisjoint(seen):
            return path
        seen.add(path)
        folders |= above
    return None


def _own(value: object, code: Code) -> str:
    """An entry of the archive's own code."""
    step = entry(value)
    code.require(step)
    return step


def _file(value: object) -> dict[str, str]:
    if not isinstance(value, dict) or set(value) != set(KEYS):
        raise ValueError(f"It must be a table with the keys {', '.join(KEYS)}, and no others.")
    return {
        "url": _url(text(value["url"], URL_LENGTH)),
        "sha256": _digest(text(value["sha256"], 100)),
        "path": inner_path(text(value["path"], PATH_LENGTH)),
    }


def _url(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_plain = bool(parts.scheme in ("https", "http") and parts.hostname) and parts.port != 0
    except ValueError:
        is_plain = False
    if not is_plain or "@" in parts.netloc or "#" in url or not VISIBLE.fullmatch(url):
        raise ValueError("The url must be as in 'https://example.org/words.txt', with no password.")
    return url


def _digest(digest: str) -> str:
    if not DIGEST.fullmatch(digest.lower()):
        raise ValueError("The sha256 must be 64 hexadecimal digits, as `sha256sum FILE` prints.")
    return digest.lower()
