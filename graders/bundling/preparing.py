"""A version's `prepare`, run once in a build sandbox: what it leaves is the version's data.

The sandbox has the version's bundle, and no network but a relay on its loopback that reaches the
hosts the operator allows. What comes out is taken for an attacker's: names are judged, every file
is a plain one of the worker's own making, and sizes count before bytes are read.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from environments.manifest.data import clashing, inner_path
from graders.bundling import driven
from graders.bundling.depot import Depot, Room
from graders.bundling.driven import Driven, piece
from graders.bundling.index import TooMuch
from graders.bundling.lock import DataFile
from graders.bundling.origin import Origin, Reply
from graders.bundling.relay import Answer
from graders.errors import EnvironmentFault
from graders.fields import Fields, ProtocolError, plain
from graders.sandbox.base import Mount, Sandbox, Spec

MOUNTED = "/env"
METHODS = ("GET", "HEAD")
RANGE = re.compile(r"bytes=[0-9]*-[0-9]*")
PASSED_ON = (
    *("accept-ranges", "content-range", "etag", "last-modified", "link", "location"),
    *("x-error-code", "x-error-message", "x-linked-etag", "x-linked-size", "x-repo-commit"),
)
MAX_HEADER = 4000  # characters


@dataclass(frozen=True)
class Step:
    """What is called, "package.module:name", with `args` and the bundle's import `paths`.

    `hub` is the address of the hub of data sets, whatever the libraries take for it.
    """

    entry: str
    args: Mapping[str, Any]
    paths: tuple[str, ...]
    hub: str


@dataclass(frozen=True)
class _Head:
    """A file that comes; `same` is the path of one that came before and has the same bytes."""

    path: str
    size: int
    same: str | None


class PrepareSession(Driven):
    """A builder that calls what a version names."""

    work = "The data step"
    advice = "prepare less data, or declare the files that it downloads"
    longest_path = 4000
    told = ("method", "range")

    def __init__(
        self,
        sandbox: Sandbox,
        bundle: Path,
        origin: Origin,
        depot: Depot,
        job: str,
        check: Callable[[], None],
    ) -> None:
        self._origin = origin
        self._depot = depot
        self._bundle = bundle
        self._refused = ""
        super().__init__(sandbox, depot.limits, job, check)

    def prepare(self, step: Step, beside: Sequence[DataFile]) -> list[DataFile]:
        """Call it; what it left, `beside` the data that the bundle has already."""
        scheme, host = urlsplit(step.hub)[:2]
        self._send(
            "prepare",
            entry=step.entry,
            args=dict(step.args),
            paths=[f"{MOUNTED}/{path}" for path in step.paths],
            hub=f"/{scheme}/{host}",
        )
        room = Room(self._limits, self._depot.left, beside)
        found: dict[str, DataFile] = {}
        while (head := self._next({"file": _head, "prepared": lambda _: None})) is not None:
            room.take(head.path, head.size)
            found[head.path] = self._take(head, found)
        if clash := clashing([*(file.path for file in beside), *found]):
            raise EnvironmentFault(f"The data step left {clash!a}, which is declared already.")
        if not found:
            raise EnvironmentFault(
                f"The data step called {step.entry}, which left nothing in $PRACTICUM_DATA. Leave "
                "what it downloads there, or leave `prepare` out."
            )
        return list(found.values())

    def _take(self, head: _Head, found: Mapping[str, DataFile]) -> DataFile:
        if head.path in found:
            raise ProtocolError("The builder sent a file twice.")
        if head.same is None:
            return self._depot.take(head.path, self._pieces(head.size))
        if head.same not in found or found[head.same].size != head.size:
            raise ProtocolError("The builder sent a link to a file that did not come.")
        return DataFile(head.path, found[head.same].sha256, head.size)

    def _pieces(self, missing: int) -> Iterator[bytes]:
        while missing:
            part: bytes = self._next({"piece": piece})
            if not part or len(part) > missing:
                raise ProtocolError("The builder sent a file of another size than it said.")
            missing -= len(part)
            yield part

    def _spec(self, job: str) -> Spec:
        mount = Mount(self._bundle, MOUNTED)
        return driven.spec(job, self._limits, mount, sends_mb=self._limits.data_mb)

    def _get(self, path: str, asked: Mapping[str, str]) -> Answer:
        if asked["method"] not in METHODS:
            return _nothing(HTTPStatus.METHOD_NOT_ALLOWED)
        scheme, _, rest = path.removeprefix("/").partition("/")
        headers = {"Range": asked["range"]} if RANGE.fullmatch(asked["range"]) else {}
        held = ExitStack()
        try:
            asking = self._origin.ask(asked["method"], f"{scheme}://{rest}", headers)
            return _relayed(held.enter_context(asking), held)
        except TooMuch:
            raise
        except EnvironmentFault as refusal:
            # Libraries look here and there before they give up: it is told if they do.
            self._refused = str(refusal)
            return _nothing(HTTPStatus.FORBIDDEN)

    def _blame(self, said: str) -> EnvironmentFault:
        refused = f"\n{plain(self._refused)}" if self._refused else ""
        return EnvironmentFault(f"The data step failed.\n{said}{refused}")


def _head(fields: Fields) -> _Head:
    path, size = fields.text("path", MAX_HEADER), fields.whole("size", 1 << 40)
    try:
        return _Head(
            inner_path(path),
            size,
            fields.optional("same", lambda key: fields.text(key, MAX_HEADER)),
        )
    except ValueError as error:
        raise EnvironmentFault(f"The data step left a file that cannot be kept. {error}") from error


def _relayed(reply: Reply, held: ExitStack) -> Answer:
    headers = {name: reply.headers[name] for name in PASSED_ON if name in reply.headers}
    fitting = {name: plain(value) for name, value in headers.items() if len(value) <= MAX_HEADER}
    kind = plain(reply.headers.get("content-type", ""))[:MAX_HEADER]
    return Answer(reply.status, kind, reply.length, _body(reply, held), fitting)


def _body(reply: Reply, held: ExitStack) -> Iterator[bytes]:
    with held:
        yield from reply.chunks


def _nothing(status: HTTPStatus) -> Answer:
    return Answer(status, "text/plain", 0, iter(()), {})
