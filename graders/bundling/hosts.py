"""Where data may come from: what the operator lists, at addresses that anybody can reach."""

import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from graders.errors import EnvironmentFault, PlatformFault

PORTS = {"https": 443, "http": 80}
VISIBLE = re.compile(r"[\x21-\x7e]{1,4000}")
HOST = re.compile(r"\.?[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
# IPv4 addresses in IPv6 ones: NAT64's, and the old "compatible" ones.
EMBEDDING = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("::/96"))
# Errors that say that nobody has that name, and not that nobody could be asked.
UNKNOWN = (socket.EAI_NONAME, socket.EAI_NODATA)
SHOWN = 20  # hosts named in an error

IP = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Place:
    """An address that may be asked. `target` is the path and query, `named` whether the operator
    listed this very origin, which may then be of an inner network."""

    scheme: str
    host: str
    port: int
    target: str
    named: bool

    @property
    def netloc(self) -> str:
        """Host and port, as a request names them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    def ways(self) -> list[tuple[int, tuple[str, int]]]:
        """Families and addresses to connect to.

        Raises EnvironmentFault if one is not public or nobody has that name, PlatformFault if
        that cannot be found out.
        """
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except OSError as error:
            fault = EnvironmentFault if error.errno in UNKNOWN else PlatformFault
            raise fault(f"The host {self.host} cannot be found.") from error
        ways = [(int(family), (str(where[0]), self.port)) for family, *_, where in found]
        if not self.named and not all(is_public(address) for _, (address, _) in ways):
            raise EnvironmentFault(f"The host {self.host} is not a public one. No data is there.")
        return ways


class Hosts:
    """The operator's list. Each entry is one of

    "example.org"             that host, over https
    ".example.org"            all hosts below it, over https
    "http://127.0.0.1:8080"   that origin, such as a mirror in one's own network; http for loopback

    Raises ValueError for any other.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        self._entries = [entry.lower() for entry in entries]
        self._origins = {_origin(entry) for entry in self._entries if "://" in entry}
        names = [entry for entry in self._entries if "://" not in entry]
        if bad := [name for name in names if not HOST.fullmatch(name)]:
            raise ValueError(f"{bad[0]!r} is neither a host nor an origin")
        self._names = {name for name in names if name[0] != "."}
        self._tails = tuple(name for name in names if name[0] == ".")

    def place(self, url: str) -> Place:
        """Where a URL leads. Raises EnvironmentFault if it is none, or not on the list."""
        try:
            scheme, host, port = _parts(url)
        except ValueError as error:
            raise EnvironmentFault(f"{url[:200]!a} is no address to fetch data from.") from error
        named = (scheme, host, port) in self._origins
        known = host in self._names or host.endswith(self._tails)
        if not named and not (known and (scheme, port) == ("https", 443)):
            shown = ", ".join(self._entries[:SHOWN]) or "none"
            raise EnvironmentFault(
                f"Data may not come from {scheme}://{host}:{port}. This hub allows these hosts, "
                f"over https: {shown}. Put the file into the package, or ask an operator."
            )
        rest = urlsplit(url)._replace(scheme="", netloc="", fragment="").geturl()
        target = rest if rest.startswith("/") else f"/{rest}"
        return Place(scheme, host, port, target, named)


def is_public(address: str) -> bool:
    """Whether an address is one of the public network's hosts, in whatever clothes."""
    ip = ipaddress.ip_address(address)
    inner = _inner(ip)
    return ip.is_global and not ip.is_multicast and (inner is None or is_public(str(inner)))


def _inner(ip: IP) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 one stands for, if it does."""
    if isinstance(ip, ipaddress.IPv4Address):
        return None
    if any(ip in network for network in EMBEDDING):
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    teredo = ip.teredo[1] if ip.teredo else None
    return ip.ipv4_mapped or ip.sixtofour or teredo


def _parts(url: str) -> tuple[str, str, int]:
    """Scheme, host and port. Raises ValueError for what is no plain http or https URL."""
    parts = urlsplit(url)
    if not VISIBLE.fullmatch(url) or parts.scheme not in PORTS or "@" in parts.netloc:
        raise ValueError("no plain URL")
    if not parts.hostname or "\\" in url or parts.hostname.endswith("."):
        raise ValueError("no plain host")
    port = PORTS[parts.scheme] if parts.port is None else parts.port
    return parts.scheme, parts.hostname, port


def _origin(entry: str) -> tuple[str, str, int]:
    scheme, host, port = _parts(entry)
    if urlsplit(entry).path not in ("", "/"):
        raise ValueError(f"{entry!r} has a path: list the origin alone")
    if scheme == "http" and not _is_loopback(host):
        raise ValueError(f"{entry!r} is not a loopback address: use https")
    return scheme, host, port


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
