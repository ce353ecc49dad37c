"""What a build sandbox may ask of the package index.

A path is a project's page or a file that such a page lists, and nothing else: the sandbox never
names an address. Whole files come from the store, and go into it, by their digest.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import BinaryIO

from graders.bundling.index import File, Index
from graders.bundling.peeking import metadata
from graders.bundling.store import Store

PAGE = re.compile(r"/simple/([A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?)/?")
FILE = re.compile(r"/file/([0-9a-f]{64})/[^/]{1,300}?(\.metadata)?")
CHUNK = 1 << 18  # bytes
JSON = "application/vnd.pypi.simple.v1+json"
BINARY = "application/octet-stream"


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; `length` in bytes is exact, None if it is not known."""

    status: int
    kind: str
    length: int | None
    body: Iterator[bytes]
    headers: Mapping[str, str] = field(default_factory=dict)


def path_of(file: File) -> str:
    """Where the sandbox finds a listed file."""
    return f"/file/{file.sha256}/{file.filename}"


class Relay:
    """Answers GET requests by their path. Raises what `Index` raises."""

    def __init__(self, index: Index, store: Store) -> None:
        self._index = index
        self._store = store
        self._listed: dict[str, File] = {}

    def get(self, path: str) -> Answer:
        """The answer for a path; 404 for whatever is not on a page that was asked for before."""
        if found := PAGE.fullmatch(path):
            return self._page(found[1])
        if found := FILE.fullmatch(path):
            file = self._listed.get(found[1])
            if file is not None:
                return self._metadata(file) if found[2] else self._file(file)
        return _nothing()

    def _page(self, project: str) -> Answer:
        files = self._index.files(project)
        if not files:
            return _nothing()
        self._listed |= {file.sha256: file for file in files}
        entries = [
            {
                **file.listed,
                "url": path_of(file),
                # Of each wheel: the relay finds it, so that no sandbox needs the whole for it.
                "core-metadata": {"sha256": file.metadata_sha256}
                if file.metadata_sha256
                else file.filename.endswith(".whl"),
            }
            for file in files
        ]
        page = {"meta": {"api-version": "1.0"}, "name": project, "files": entries}
        return _whole(json.dumps(page).encode(), JSON)

    def _file(self, file: File) -> Answer:
        opened = self._opened(file)
        return Answer(HTTPStatus.OK, BINARY, os.fstat(opened.fileno()).st_size, _read(opened))

    def _metadata(self, file: File) -> Answer:
        with suppress(LookupError):
            return _whole(self._index.metadata(file), BINARY)
        with suppress(LookupError), self._opened(file) as wheel:
            return _whole(metadata(wheel), BINARY)
        return _nothing()

    def _opened(self, file: File) -> BinaryIO:
        with self._store.download(file.sha256, lambda: self._index.content(file)) as path:
            return path.open("rb")  # readable to its end, even if it is dropped


def _read(opened: BinaryIO) -> Iterator[bytes]:
    with opened as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _nothing() -> Answer:
    return Answer(HTTPStatus.NOT_FOUND, "text/plain", 0, iter(()))


def _whole(body: bytes, kind: str) -> Answer:
    chunks = (body[at : at + CHUNK] for at in range(0, len(body), CHUNK))
    return Answer(HTTPStatus.OK, kind, len(body), chunks)
