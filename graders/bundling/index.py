"""A package index, read: the pages of PEP 503 and PEP 691, and the files they list.

Only files that a page lists with a SHA-256 exist; every byte of them is checked against it.
"""

import hashlib
import io
import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from html.parser import HTMLParser
from threading import Lock
from typing import Any, BinaryIO, Self, cast
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import httpx
import uv
from packaging.utils import canonicalize_name

from graders.bundling.limits import MIB, BuildLimits
from graders.bundling.peeking import METADATA_LIMIT, NEAR, Remote, metadata
from graders.errors import EnvironmentFault, PlatformFault

ACCEPT = "application/vnd.pypi.simple.v1+json, text/html;q=0.2"
PAGE_LIMIT = 64 * MIB
CONTENT_RANGE = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})")
TIMEOUT = httpx.Timeout(60.0, connect=15.0)
PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,249}")  # what a file may be called
SUFFIXES = (".whl", ".tar.gz", ".zip")
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)  # what an index without times uploaded its files at


@dataclass(frozen=True)
class File:
    """A file of a project. `listed` is its entry, as the page had it, without its address.

    It always has an "upload-time": uv takes a file without one for newer than any moment.
    """

    filename: str
    url: str
    sha256: str
    metadata_sha256: str | None
    listed: dict[str, Any]


def default_url() -> str:
    """The index that uv uses on this machine when it is told nothing. Raises PlatformFault."""
    told = subprocess.run(  # noqa: S603 - a fixed program
        [uv.find_uv_bin(), *"pip compile - --emit-index-url --no-header --quiet --offline".split()],
        input="",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    found = re.search(r"^--index-url (\S+)$", told.stdout, re.MULTILINE)
    if found is None:
        raise PlatformFault("There is no package index: set PACKAGE_INDEX_URL.")
    return found[1]


class TooMuch(EnvironmentFault):
    """A build wants more of the index than it may have."""

    @classmethod
    def requests(cls, most: int) -> Self:
        return cls(
            f"Resolving the dependencies took over {most} requests: pin the versions of the "
            "largest ones."
        )


class Index:
    """One build's view of the index. May be used from several threads.

    Raises PlatformFault whenever the index does not answer as one should, TooMuch beyond `limits`.
    """

    def __init__(self, url: str, limits: BuildLimits) -> None:
        self._url, self._auth = _without_credentials(url)
        self._limits = limits
        self._client = httpx.Client(timeout=TIMEOUT, follow_redirects=True, max_redirects=5)
        self._lock = Lock()
        self._bytes = 0
        self._requests = 0
        self._pages: dict[str, list[File]] = {}

    def close(self) -> None:
        self._client.close()

    def files(self, project: str) -> list[File]:
        """What the index has of a project; empty if it has no such project."""
        name = str(canonicalize_name(project))
        if name not in self._pages:
            self._pages[name] = self._page(f"{self._url}{name}/")
        return self._pages[name]

    def content(self, file: File) -> Iterator[bytes]:
        """A file's bytes, in chunks; the last one is withheld if they are not the listed ones."""
        return self._checked(file.url, file.sha256, file.filename)

    def metadata(self, file: File) -> bytes:
        """A wheel's METADATA, as the index offers it or from a part of the wheel.

        What comes from a part cannot be checked; it decides which wheels are locked, as the
        index's pages do, and is not used otherwise. Raises LookupError if it cannot be had.
        """
        if file.metadata_sha256 is None:
            end, size = self._part(file.url, f"-{NEAR}")
            remote = Remote(size, end, lambda *at: self._part(file.url, f"{at[0]}-{at[1] - 1}")[0])
            return metadata(cast(BinaryIO, io.BufferedReader(remote, NEAR)))
        found = bytearray()
        for chunk in self._checked(f"{file.url}.metadata", file.metadata_sha256, file.filename):
            found += chunk
            if len(found) > METADATA_LIMIT:
                raise PlatformFault(f"The metadata of {file.filename} is too large.")
        return bytes(found)

    def _page(self, url: str) -> list[File]:
        path = urlsplit(url).path
        with self._get(url, {"Accept": ACCEPT}) as response:
            if response.status_code == 404:
                return []
            self._refuse_failure(response)
            text = bytearray()
            for chunk in self._metered(response.iter_bytes()):
                text += chunk
                if len(text) > PAGE_LIMIT:
                    raise PlatformFault(f"The index's page {path} is too large.")
            kind = response.headers.get("Content-Type", "")
            base = str(response.url)
        try:
            read = _from_json if "json" in kind else _from_html
            return read(text.decode("utf-8", "replace"), base)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise PlatformFault(
                f"The index's page {path} cannot be read ({type(error).__name__})."
            ) from error

    def _checked(self, url: str, sha256: str, name: str) -> Iterator[bytes]:
        digest, held = hashlib.sha256(), b""
        # As they are: a server that compresses .tar.gz once more would change the bytes.
        with self._get(url, {"Accept": "*/*", "Accept-Encoding": "identity"}) as response:
            self._refuse_failure(response)
            for chunk in self._metered(response.iter_raw()):
                if held:
                    yield held
                held = chunk
                digest.update(chunk)
        if digest.hexdigest() != sha256:
            raise PlatformFault(f"The index sent other bytes for {name} than it lists.")
        yield held

    def _part(self, url: str, part: str) -> tuple[bytes, int]:
        """Some bytes of a file, and how many it has in all."""
        headers = {"Range": f"bytes={part}", "Accept-Encoding": "identity"}
        with self._get(url, headers) as response:
            told = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if response.status_code != 206 or told is None:
                raise LookupError("this server sends whole files only")
            first, last, size = map(int, told.groups())
            found = b"".join(self._metered(response.iter_raw()))
        if len(found) != last - first + 1 or last >= size:
            raise LookupError("this server sends other parts than it says")
        return found, size

    @contextmanager
    def _get(self, url: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
        with self._lock:
            self._requests += 1
            if self._requests > self._limits.requests:
                raise TooMuch.requests(self._limits.requests)
        # Credentials go where they belong: a page may list files of another host.
        auth = self._auth if _origin(url) == _origin(self._url) else None
        try:
            with self._client.stream("GET", url, headers=headers, auth=auth) as response:
                yield response
        except httpx.InvalidURL as error:
            raise PlatformFault("The package index lists an address that is none.") from error
        except httpx.HTTPError as error:
            raise PlatformFault(
                f"The package index did not answer: {error or type(error).__name__}"
            ) from error

    def _metered(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        late = time.monotonic() + self._limits.seconds
        for chunk in chunks:
            with self._lock:
                self._bytes += len(chunk)
                if self._bytes > self._limits.download_mb * MIB:
                    raise TooMuch(
                        f"The dependencies are more than {self._limits.download_mb} MiB to "
                        "download: depend on less, or on smaller releases."
                    )
            if time.monotonic() > late:
                raise PlatformFault(
                    f"The package index took over {self._limits.seconds:g} s for one answer."
                )
            yield chunk

    def _refuse_failure(self, response: httpx.Response) -> None:
        if response.status_code != 200:
            path = response.url.path
            raise PlatformFault(f"The package index answered {response.status_code} for {path}.")


def _without_credentials(url: str) -> tuple[str, httpx.BasicAuth | None]:
    """An index's address as it may be shown and logged, and the credentials that stood in it."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise PlatformFault("The package index's address does not begin with http:// or https://.")
    credentials, _, host = parts.netloc.rpartition("@")
    plain = parts._replace(netloc=host, path=parts.path.rstrip("/") + "/", query="", fragment="")
    user, _, password = credentials.partition(":")
    auth = httpx.BasicAuth(unquote(user), unquote(password)) if credentials else None
    return plain.geturl(), auth


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _from_json(text: str, base: str) -> list[File]:
    return list(filter(None, (_file(entry, base) for entry in json.loads(text)["files"])))


def _file(entry: dict[str, Any], base: str) -> File | None:
    """A listed file; None for what nobody installs, and for what has no digest to check."""
    name, sha256 = str(entry["filename"]), entry.get("hashes", {}).get("sha256")
    if not PLAIN.fullmatch(name) or not name.endswith(SUFFIXES) or not _is_digest(sha256):
        return None
    offered = entry.get("core-metadata", entry.get("dist-info-metadata"))
    metadata = offered.get("sha256") if isinstance(offered, dict) else None
    kept = ("requires-python", "size", "yanked")
    listed = {key: entry[key] for key in kept if entry.get(key) is not None}
    listed["upload-time"] = _moment(entry.get("upload-time")).isoformat()
    return File(
        filename=name,
        url=urljoin(base, str(entry["url"])),
        sha256=sha256,
        metadata_sha256=metadata if _is_digest(metadata) else None,
        listed={"filename": name, "hashes": {"sha256": sha256}, **listed},
    )


def _moment(text: object) -> datetime:
    """The moment that an index gives; `LONG_AGO` if it gives none that can be read."""
    try:
        found = datetime.fromisoformat(str(text))
        return found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        return LONG_AGO


def _is_digest(found: object) -> bool:
    return isinstance(found, str) and len(found) == 64 and set(found) <= set("0123456789abcdef")


class _Links(HTMLParser):
    """Collects the links of a page of PEP 503 as entries of PEP 691."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[dict[str, Any]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        href = found.get("href")
        if tag != "a" or not href:
            return
        url, fragment = urldefrag(href)
        kind, _, digest = fragment.partition("=")
        metadata = found.get("data-core-metadata", found.get("data-dist-info-metadata")) or ""
        yanked = "data-yanked" in found and (found["data-yanked"] or True)
        self.entries.append(
            {
                "filename": unquote(urlsplit(url).path.rpartition("/")[2]),
                "url": url,
                "hashes": {kind: digest},
                "requires-python": found.get("data-requires-python"),
                "core-metadata": {"sha256": metadata.removeprefix("sha256=")},
                "yanked": yanked,
            }
        )


def _from_html(text: str, base: str) -> list[File]:
    links = _Links()
    links.feed(text)
    return list(filter(None, (_file(entry, base) for entry in links.entries)))
