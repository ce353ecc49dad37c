"""Fetching data from where the operator allows: each hop judged, each byte and second counted."""

import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse
from urllib.parse import urljoin, urlsplit

import httpx

from graders.bundling.hosts import Hosts, Place
from graders.bundling.index import TooMuch
from graders.bundling.limits import MIB, BuildLimits
from graders.errors import EnvironmentFault, PlatformFault

CHUNK = 1 << 18  # bytes
SILENCE_S = 30.0  # for a connection, and between two bytes
REDIRECTS = (301, 302, 303, 307, 308)
HOPS = 5
BUSY = (408, 425, 429)  # and all from 500 on: worth another try
FAILURES = (OSError, HTTPException, ValueError)


@dataclass(frozen=True)
class Reply:
    """What a host answered; `length` in bytes, None if it does not say. `chunks` is read once."""

    status: int
    headers: Mapping[str, str]
    length: int | None
    chunks: Iterator[bytes]


class Origin:
    """What one build fetches. May be used from several threads.

    Raises EnvironmentFault for what the version asks for and may not have, PlatformFault where a
    host does not answer as it should, TooMuch beyond `limits`.
    """

    def __init__(self, hosts: Hosts, limits: BuildLimits) -> None:
        self._hosts = hosts
        self._limits = limits
        self._context = httpx.create_ssl_context()
        self._lock = threading.Lock()
        self._requests = self._bytes = 0

    def content(self, url: str) -> Iterator[bytes]:
        """A file's bytes, wherever its URL leads, in chunks."""
        for _ in range(HOPS + 1):
            with self.ask("GET", url) as reply:
                if reply.status == 200:
                    yield from reply.chunks
                    return
                if reply.status not in REDIRECTS or "location" not in reply.headers:
                    raise _refusal(url, reply.status)
                url = urljoin(url, reply.headers["location"])
        raise EnvironmentFault(f"{shown(url)} leads on and on: give the address of the file.")

    @contextmanager
    def ask(
        self, method: str, url: str, headers: Mapping[str, str] | None = None
    ) -> Iterator[Reply]:
        """The answer of one host; a redirect is not followed."""
        place, late = self._hosts.place(url), time.monotonic() + self._limits.seconds
        self._count_request()
        with ExitStack() as held:
            with self._told(place):
                wire = held.enter_context(self._connected(place))
                response = held.enter_context(_exchange(place, wire, method, dict(headers or {})))
            self._refuse_late(place, late)
            length = response.getheader("Content-Length", "")
            yield Reply(
                response.status,
                {name.lower(): value for name, value in response.getheaders()},
                int(length) if re.fullmatch("[0-9]{1,15}", length) else None,
                iter(()) if method == "HEAD" else self._chunks(place, response, late),
            )

    @contextmanager
    def _connected(self, place: Place) -> Iterator[socket.socket]:
        """A connection to an address that was looked at, cut when its time is over."""
        wire = _dial(place)
        secure = None
        if place.scheme == "https":
            wire = secure = self._context.wrap_socket(
                wire, server_hostname=place.host, do_handshake_on_connect=False
            )
        with closing(wire):
            timer = threading.Timer(self._limits.seconds, _cut, [wire])
            timer.daemon = True
            timer.start()
            try:
                if secure:
                    secure.do_handshake()
                yield wire
            finally:
                timer.cancel()

    def _chunks(self, place: Place, response: HTTPResponse, late: float) -> Iterator[bytes]:
        left = response.length
        while True:
            with self._told(place):
                chunk = response.read1(CHUNK)
            self._refuse_late(place, late)
            if not chunk:
                break
            left = None if left is None else left - len(chunk)
            self._count(len(chunk))
            yield chunk
        if left:
            raise PlatformFault(f"{place.host} broke off within its answer.")

    def _refuse_late(self, place: Place, late: float) -> None:
        """What was cut off may look as if it had come to its end."""
        if time.monotonic() >= late:
            raise PlatformFault(f"{place.host} took over {self._limits.seconds:g} s to answer.")

    @contextmanager
    def _told(self, place: Place) -> Iterator[None]:
        """Whatever a connection ends with, as a fault of the host's."""
        try:
            yield
        except FAILURES as error:
            words = str(error) or type(error).__name__
            raise PlatformFault(f"{place.host} did not answer as it should: {words}") from error

    def _count_request(self) -> None:
        with self._lock:
            self._requests += 1
            if self._requests > self._limits.requests:
                raise TooMuch(f"The data takes over {self._limits.requests} requests.")

    def _count(self, size: int) -> None:
        with self._lock:
            self._bytes += size
            if self._bytes > self._limits.data_mb * MIB:
                raise TooMuch(f"The data is more than {self._limits.data_mb} MiB: use less of it.")


def shown(url: str) -> str:
    """A URL without its query, which may hold a key."""
    return urlsplit(url)._replace(query="", fragment="").geturl()[:300]


def _dial(place: Place) -> socket.socket:
    """A connection to the first of a host's addresses that answers."""
    trouble: OSError = ConnectionError("it has no address")
    for family, where in place.ways():
        wire = socket.socket(family, socket.SOCK_STREAM)
        wire.settimeout(SILENCE_S)
        try:
            wire.connect(where)
            return wire
        except OSError as error:
            wire.close()
            trouble = error
    raise trouble


def _cut(wire: socket.socket) -> None:
    with suppress(OSError):
        # Not a TLS socket's own method, which may not be called beside a read.
        socket.socket.shutdown(wire, socket.SHUT_RDWR)


@contextmanager
def _exchange(
    place: Place, wire: socket.socket, method: str, headers: dict[str, str]
) -> Iterator[HTTPResponse]:
    connection = HTTPConnection(place.host, place.port)
    connection.sock = wire
    own = {
        "Host": place.netloc,
        "User-Agent": "practicum",
        "Accept-Encoding": "identity",
        "Connection": "close",
    }
    connection.request(method, place.target, headers=headers | own)
    with closing(connection.getresponse()) as response:
        yield response


def _refusal(url: str, status: int) -> Exception:
    fault = PlatformFault if status in BUSY or status >= 500 else EnvironmentFault
    return fault(f"{shown(url)} answered {status}.")
