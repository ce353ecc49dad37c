"""Hosts of declared data that send elsewhere, fail, break off or dawdle."""

import time

import pytest
from django.core.files.storage import default_storage

from graders.bundling import lock, origin
from graders.errors import EnvironmentFault, PlatformFault
from tests.bundling.served import Handler
from tests.bundling.versions import build, stored_version

pytestmark = pytest.mark.django_db


def redirect(to: str, status: int = 302):
    return lambda handler: handler.send(status, b"", Location=to)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(declare, sandbox, host, status):
    entry = declare()
    host.behave("/first", redirect("second?x=1", status))
    host.behave("/second?x=1", redirect(f"http://{host.address}/words.txt", status))
    version = build(
        stored_version(data=[{**entry, "url": f"http://{host.address}/first"}]), sandbox
    )
    assert lock.read_data(version.lock)[0].url.endswith("/first")


@pytest.mark.parametrize(
    ("to", "words"),
    [
        ("http://169.254.169.254/latest/meta-data/", "may not come from http://169.254.169.254:80"),
        ("http://127.0.0.1:1/", "may not come from http://127.0.0.1:1"),
        ("http://localhost:PORT/words.txt", "may not come from http://localhost"),
        ("https://127.0.0.1:PORT/", "may not come from https://127.0.0.1"),
        ("http://u:p@127.0.0.1:PORT/", "is no address"),
        ("file:///etc/passwd", "is no address"),
        ("ftp://127.0.0.1:PORT/", "is no address"),
        ("//evil.example/", "may not come from http://evil.example:80"),
        ("http://127.0.0.1:PORT:PORT/", "is no address"),
        ("/loop", "leads on and on"),
    ],
)
def test_redirects_to_elsewhere_are_refused(declare, sandbox, host, to, words):
    port = host.address.rpartition(":")[2]
    host.behave("/loop", redirect(to.replace("PORT", port)))
    entry = {**declare(), "url": f"http://{host.address}/loop"}
    with pytest.raises(EnvironmentFault, match=words):
        build(stored_version(data=[entry]), sandbox)
    assert set(host.paths()) == {"/loop"}


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        (404, EnvironmentFault),
        (403, EnvironmentFault),
        (204, EnvironmentFault),
        (206, EnvironmentFault),
        (304, EnvironmentFault),
        (429, PlatformFault),
        (500, PlatformFault),
        (503, PlatformFault),
    ],
)
def test_a_host_that_does_not_give_it(declare, sandbox, host, status, fault):
    entry = declare()
    host.behave("/words.txt", lambda handler: handler.send(status, b""))
    entry["url"] += "?token=secret"
    host.behave("/words.txt?token=secret", lambda handler: handler.send(status, b""))
    with pytest.raises(fault, match=f"words.txt answered {status}") as told:
        build(stored_version(data=[entry]), sandbox)
    assert "secret" not in str(told.value)


def broken(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"half")
    handler.close_connection = True


def nonsense(handler: Handler) -> None:
    handler.wfile.write(b"\x00\xff" * 500 + b"\r\n\r\n")
    handler.close_connection = True


def long_headers(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\n\r\n")
    handler.close_connection = True


def bad_chunks(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nxx")
    handler.close_connection = True


def silence(handler: Handler) -> None:
    handler.close_connection = True


@pytest.mark.parametrize("how", [broken, nonsense, long_headers, bad_chunks, silence])
def test_a_host_that_breaks_off_is_tried_again(declare, sandbox, host, how):
    entry = declare()
    host.behave("/words.txt", how)
    with pytest.raises(PlatformFault, match=r"127.0.0.1"):
        build(stored_version(data=[entry]), sandbox)
    assert not default_storage.exists("data")


def drip(head: bytes, piece: bytes):
    def run(handler: Handler) -> None:
        handler.wfile.write(head)
        with_time = time.monotonic() + 20
        try:
            while time.monotonic() < with_time:
                handler.wfile.write(piece)
                time.sleep(0.05)
        except OSError:
            pass
        handler.close_connection = True

    return run


@pytest.mark.parametrize(
    "how",
    [
        drip(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x"),
        drip(b"HTTP/1.1 200 OK\r\nX: ", b"y"),
        drip(b"", b"H"),
    ],
)
def test_a_slow_host_is_cut_off(declare, sandbox, host, settings, how):
    settings.BUILD_LIMITS = {"seconds": 1}
    entry = declare()
    host.behave("/words.txt", how)
    began = time.monotonic()
    with pytest.raises(PlatformFault, match=r"127.0.0.1"):
        build(stored_version(data=[entry]), sandbox)
    assert time.monotonic() - began < 5


def test_a_host_that_says_nothing_is_given_up(declare, sandbox, host, monkeypatch):
    monkeypatch.setattr(origin, "SILENCE_S", 0.5)
    entry = declare()
    host.behave("/words.txt", lambda handler: time.sleep(3))
    with pytest.raises(PlatformFault, match="did not answer as it should: timed out"):
        build(stored_version(data=[entry]), sandbox)
