"""The reference model over TLS, with and without a proxy."""

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from graders.errors import ModelUnavailable
from tests import certificates
from tests.graders.scripted import ASK, KEY, Server, completion, policy


@pytest.fixture
def secure(server: Server, tmp_path, monkeypatch) -> str:
    """Puts the server behind TLS; the address under which its certificate is good."""
    certificate, context = certificates.made(tmp_path)
    server._server.socket = context.wrap_socket(server._server.socket, server_side=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    return server.base_url.replace("http://127.0.0.1", "https://localhost")


class Tunnel(BaseHTTPRequestHandler):
    """A proxy that does what CONNECT asks for, to this machine whatever the name."""

    server: Any

    def do_CONNECT(self) -> None:
        self.server.asked.append((self.path, dict(self.headers)))
        with socket.create_connection(("127.0.0.1", int(self.path.rpartition(":")[2]))) as there:
            self.send_response(200)
            self.end_headers()
            back = threading.Thread(target=_pass_on, args=(there, self.connection))
            back.start()
            _pass_on(self.connection, there)
            back.join()
        self.close_connection = True

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@pytest.fixture
def proxy() -> Iterator[Any]:
    made: Any = ThreadingHTTPServer(("127.0.0.1", 0), Tunnel)
    made.asked = []
    thread = threading.Thread(target=made.serve_forever, args=(0.02,))
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def test_a_certificate_that_is_trusted(server, secure):
    with policy(server, [], base_url=secure) as model:
        assert model.chat(ASK, seed=1) == completion()
    assert server.seen[0][1]["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("why", ["another host's", "unknown"])
def test_a_certificate_that_is_not(server, secure, why, monkeypatch):
    if why == "unknown":
        monkeypatch.delenv("SSL_CERT_FILE")
    else:
        secure = secure.replace("localhost", "127.0.0.1")
    with (
        policy(server, [], base_url=secure, retries=1) as model,
        pytest.raises(ModelUnavailable, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        model.chat(ASK, seed=1)
    assert server.seen == []


def test_through_a_proxy_which_sees_neither_key_nor_conversation(
    server, secure, proxy, monkeypatch
):
    port = secure.rpartition(":")[2].removesuffix("/v1")
    monkeypatch.setenv("https_proxy", f"http://hub:secret@127.0.0.1:{proxy.server_port}")
    with policy(server, [], base_url=secure) as model:
        assert model.chat(ASK, seed=1) == completion()
    ((path, headers),) = proxy.asked
    assert path == f"localhost:{port}"
    assert "Proxy-Authorization" in headers
    assert "Authorization" not in headers


def test_a_proxy_that_refuses_is_told_without_its_password(server, secure, proxy, monkeypatch):
    def refuse(handler: Tunnel) -> None:
        handler.send_error(http.client.FORBIDDEN)

    monkeypatch.setattr(Tunnel, "do_CONNECT", refuse)
    monkeypatch.setenv("https_proxy", f"http://hub:secret@127.0.0.1:{proxy.server_port}")
    with (
        policy(server, [], base_url=secure, retries=0) as model,
        pytest.raises(ModelUnavailable) as caught,
    ):
        model.chat(ASK, seed=1)
    assert "secret" not in str(caught.value)
    assert "the proxy to it answered with status 403" in str(caught.value)
