"""What a wheel must hold besides being a sound zip: the binary distribution format (PEP 427)."""

import base64
import csv
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser

from packaging.tags import Tag, parse_tag
from packaging.utils import (
    InvalidWheelFilename,
    NormalizedName,
    canonicalize_name,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from environments.archives.base import MIB, Faults, Readable, Stop

RECORD_BYTES = 4 * MIB
METADATA_BYTES = MIB
HASHES = ("sha256", "sha384", "sha512")
# Signatures of RECORD cannot be listed in it.
UNLISTED = ("RECORD", "RECORD.jws", "RECORD.p7s")


@dataclass(frozen=True)
class Named:
    """What a wheel's file name says."""

    name: NormalizedName
    version: Version
    tags: frozenset[Tag]


def check(archive: Readable, filename: str, faults: Faults) -> None:
    """Hold a wheel against its file name and its RECORD. Adds faults; raises Stop."""
    named = _named(filename, faults)
    if not any(_pure(tag) for tag in named.tags):
        message = (
            "It is built for one platform. Only pure Python wheels (py3-none-any) are accepted: "
            "upload the source project, or depend on a published package for the compiled part."
        )
        faults.add("wheel-not-pure", "", message)
    info = _dist_info(archive, named, faults)
    _metadata(archive, info, named, faults)
    _wheel(archive, info, named, faults)
    _record(archive, info, faults)


def _named(filename: str, faults: Faults) -> Named:
    try:
        name, version, _, tags = parse_wheel_filename(filename)
    except InvalidWheelFilename as error:
        faults.stop("wheel-name", "", f"{error}. Keep the name that the build gave the wheel.")
    return Named(name, version, tags)


def _pure(tag: Tag) -> bool:
    return (tag.abi, tag.platform) == ("none", "any") and tag.interpreter.startswith("py3")


def _dist_info(archive: Readable, named: Named, faults: Faults) -> str:
    """The name of the one .dist-info folder."""
    tops = {path.split("/")[0] for path in archive.files if "/" in path}
    infos = sorted(top for top in tops if top.endswith(".dist-info"))
    if len(infos) != 1:
        message = f"A wheel holds exactly one .dist-info folder; this one has {len(infos)}."
        faults.stop("wheel-dist-info", "", message)
    name, _, version = infos[0].removesuffix(".dist-info").partition("-")
    if canonicalize_name(name) != named.name or not _same_version(version, named.version):
        message = "It is not the name and version in the file's name. Do not rename wheels."
        faults.add("wheel-dist-info", infos[0], message)
    return infos[0]


def _same_version(text: str, version: Version) -> bool:
    try:
        return Version(text.replace("_", "-")) == version
    except InvalidVersion:
        return False


def _headers(archive: Readable, path: str, faults: Faults) -> Message:
    if path not in archive.files:
        faults.add("wheel-incomplete", path, "It is missing. Build the wheel afresh.")
        return Message()
    if archive.files[path] > METADATA_BYTES:
        faults.stop("wheel-incomplete", path, f"It is over {METADATA_BYTES // MIB} MiB.")
    text = archive.read(path, METADATA_BYTES).decode("utf-8", "replace")
    return HeaderParser().parsestr(text)


def _metadata(archive: Readable, info: str, named: Named, faults: Faults) -> None:
    path = f"{info}/METADATA"
    headers = _headers(archive, path, faults)
    if path not in archive.files:
        return
    same_name = canonicalize_name(str(headers.get("Name", ""))) == named.name
    if not same_name or not _same_version(str(headers.get("Version", "")), named.version):
        message = "Its Name and Version are not those in the file's name. Do not rename wheels."
        faults.add("wheel-metadata", path, message)


def _wheel(archive: Readable, info: str, named: Named, faults: Faults) -> None:
    path = f"{info}/WHEEL"
    headers = _headers(archive, path, faults)
    if path not in archive.files:
        return
    if not str(headers.get("Wheel-Version", "")).startswith("1."):
        faults.add("wheel-version", path, "Its Wheel-Version is not 1.x. Build it afresh.")
    if str(headers.get("Root-Is-Purelib", "")).strip().lower() != "true":
        message = "Root-Is-Purelib is not true. Only pure Python wheels are accepted."
        faults.add("wheel-not-pure", path, message)
    lines = headers.get_all("Tag") or []
    tags = {tag for line in lines if str(line).count("-") == 2 for tag in parse_tag(str(line))}
    if tags != named.tags:
        message = "Its Tag lines are not the tags in the file's name. Do not rename wheels."
        faults.add("wheel-tags", path, message)


def _record(archive: Readable, info: str, faults: Faults) -> None:
    path = f"{info}/RECORD"
    if path not in archive.files:
        faults.add("wheel-incomplete", path, "It is missing. Build the wheel afresh.")
        return
    listed = _rows(archive, path, faults)
    unlisted = {f"{info}/{name}" for name in UNLISTED}
    for missing in sorted(set(archive.files) - set(listed) - unlisted):
        faults.add("wheel-record", missing, "RECORD does not list it. Build the wheel afresh.")
    for extra in sorted(set(listed) - set(archive.files)):
        faults.add("wheel-record", extra, "RECORD lists it, but it is missing.")
    here = [name for name in listed if name in archive.files and name not in unlisted]
    for name, chunks in archive.stream(here):
        _compare(name, chunks, *listed[name], faults)


def _rows(archive: Readable, path: str, faults: Faults) -> dict[str, tuple[str, str]]:
    """What RECORD lists: (hash, size) by name, as written."""
    if archive.files[path] > RECORD_BYTES:
        faults.stop("wheel-record", path, f"It is over {RECORD_BYTES // MIB} MiB.")
    rows: dict[str, tuple[str, str]] = {}
    try:
        text = archive.read(path, RECORD_BYTES).decode("utf-8")
        for row in csv.reader(io.StringIO(text, newline=""), strict=True):
            if not row:
                continue
            name, digest, size = row
            if name in rows:
                faults.add("wheel-record", name, "RECORD lists it twice. Build the wheel afresh.")
            rows[name] = digest, size
            if len(rows) > len(archive.files) + 100:
                faults.stop("wheel-record", path, "It lists far more files than there are.")
    except (ValueError, csv.Error):
        faults.add("wheel-record", path, "It is not UTF-8 lines of name,hash,size.")
        raise Stop from None
    return rows


def _compare(name: str, chunks: Iterator[bytes], said: str, size: str, faults: Faults) -> None:
    algorithm, _, encoded = said.partition("=")
    if algorithm not in HASHES:
        message = f"RECORD gives no {', '.join(HASHES)} hash of it. Build the wheel afresh."
        faults.add("wheel-record", name, message)
        return
    digest, length = hashlib.new(algorithm), 0
    for chunk in chunks:
        digest.update(chunk)
        length += len(chunk)
    real = base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()
    if encoded != real or size not in ("", str(length)):
        message = "Its bytes are not those that RECORD lists. Build the wheel afresh."
        faults.add("wheel-record", name, message)
