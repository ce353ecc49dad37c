"""Where data may come from: what the operator listed, and only where anybody could go."""

import socket

import pytest

from graders.bundling.hosts import Hosts, is_public
from graders.bundling.limits import BuildLimits
from graders.bundling.origin import Origin
from graders.errors import EnvironmentFault, PlatformFault

LISTED = ["example.org", ".cdn.example", "https://mirror.internal:8443", "http://127.0.0.1:8080"]


@pytest.fixture
def hosts() -> Hosts:
    return Hosts(LISTED)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://example.org/a?b=c", ("https", "example.org", 443, "/a?b=c", False)),
        ("https://EXAMPLE.org:443", ("https", "example.org", 443, "/", False)),
        ("https://a.b.cdn.example//x", ("https", "a.b.cdn.example", 443, "//x", False)),
        ("https://example.org/?q#f", ("https", "example.org", 443, "/?q", False)),
        ("https://mirror.internal:8443/x", ("https", "mirror.internal", 8443, "/x", True)),
        ("http://127.0.0.1:8080/x", ("http", "127.0.0.1", 8080, "/x", True)),
    ],
)
def test_what_is_listed_may_be_asked(hosts, url, place):
    found = hosts.place(url)
    assert (found.scheme, found.host, found.port, found.target, found.named) == place


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/",  # not over https
        "https://example.org:8443/",
        "https://cdn.example/",  # only what is below it
        "https://xcdn.example/",
        "https://sub.example.org/",
        "https://example.org.evil.example/",
        "https://example.org@evil.example/",
        "https://evil.example/example.org",
        "https://evil.example#@example.org/",
        "https://evil.example\\@example.org/",
        "https://example.org\\@evil.example/",
        "https://example.org./",
        "https://example.org:0/",
        "https://example.org:99999/",
        "https://example.org /",
        "https://example.org/\r\nHost: evil",
        "https://example.org/\x00",
        "https://exämple.org/",
        "https://[::1]/",
        "https://[::1/",
        "https://mirror.internal/",
        "http://mirror.internal:8443/",
        "http://127.0.0.1:8081/",
        "http://127.1:8080/",
        "http://2130706433:8080/",
        "http://0x7f000001:8080/",
        "http://localhost:8080/",
        "https://169.254.169.254/",
        "file:///etc/passwd",
        "//example.org/",
        "example.org",
        "",
        "https:///x",
        "https://example.org/" + "x" * 5000,
    ],
)
def test_nothing_else_is(hosts, url):
    with pytest.raises(EnvironmentFault, match=r"may not come from|is no address"):
        hosts.place(url)


@pytest.mark.parametrize(
    "entry",
    [
        "http://example.org",
        "http://10.0.0.1:80",
        "https://example.org/path",
        "https://u:p@example.org",
        "example.org/x",
        "*.example.org",
        "exa mple",
        "",
        "ftp://x",
        ".",
    ],
)
def test_an_operator_is_told_of_a_mistake(entry):
    with pytest.raises(ValueError, match=r".+"):
        Hosts([entry])


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0"),
        *("100.64.0.1", "224.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1"),
        *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:7f00:1::"),
        *("::127.0.0.1", "2001:db8::1", "2001:0:4136:e378:8000:63bf:f5ff:fffe"),
    ],
)
def test_addresses_of_inner_networks(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111"])
def test_addresses_of_the_public_network(address):
    assert is_public(address)


def resolves_to(*addresses: str):
    return lambda host, port, **_: [
        (socket.AF_INET6 if ":" in one else socket.AF_INET, 1, 6, "", (one, port))
        for one in addresses
    ]


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["1.1.1.1", "10.0.0.1"], ["169.254.169.254"], ["::ffff:7f00:1"]]
)
def test_a_listed_name_that_leads_inside_is_not_connected_to(monkeypatch, hosts, addresses):
    monkeypatch.setattr(socket, "getaddrinfo", resolves_to(*addresses))
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("it was connected to"))
    with (
        pytest.raises(EnvironmentFault, match=r"example\.org is not a public one"),
        Origin(hosts, BuildLimits()).ask("GET", "https://example.org/"),
    ):
        pass


def test_the_address_that_was_looked_at_is_the_one_connected_to(monkeypatch, hosts):
    """A name that leads elsewhere the second time gains nothing: it is asked for once."""
    answers = iter([["93.184.216.34"], ["127.0.0.1"]])
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *_, **__: resolves_to(*next(answers))("", 443)
    )
    seen = []

    def connect(wire, where):
        seen.append(where)
        raise ConnectionRefusedError("nobody there")

    monkeypatch.setattr(socket.socket, "connect", connect)
    with (
        pytest.raises(PlatformFault, match="nobody there"),
        Origin(hosts, BuildLimits()).ask("GET", "https://example.org/"),
    ):
        pass
    assert seen == [("93.184.216.34", 443)]


@pytest.mark.parametrize(
    ("code", "fault"),
    [(socket.EAI_NONAME, EnvironmentFault), (socket.EAI_AGAIN, PlatformFault)],
)
def test_a_name_that_nobody_has_or_that_nobody_could_be_asked_for(hosts, monkeypatch, code, fault):
    def unknown(*_, **__):
        raise socket.gaierror(code, "not found")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with (
        pytest.raises(fault, match=r"example\.org cannot be found"),
        Origin(hosts, BuildLimits()).ask("GET", "https://example.org/"),
    ):
        pass
