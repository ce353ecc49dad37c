"""The instant model, started, looked at and tried at its limit by whoever measures."""

import http.client
import json
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from bench.instant import MODEL

PROGRAM = Path(__file__).with_name("instant.py")


class Model:
    """A running server on loopback."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/v1"
        self._port = port

    def look(self) -> dict[str, float]:
        """What it did since the last look, see `bench.instant.Tally`."""
        with closing(http.client.HTTPConnection("127.0.0.1", self._port)) as connection:
            connection.request("GET", "/")
            found: dict[str, float] = json.loads(connection.getresponse().read())
            return found

    def ceiling(self, count: int, connections: int) -> float:
        """Requests a second that it answers to a client which does nothing else."""
        body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "1 + 1?"}]})
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}"
        request = f"{head}\r\n\r\n{body}".encode()
        began, asked, answered = time.perf_counter(), 0, 0
        with selectors.DefaultSelector() as ready:
            for _ in range(connections):
                ready.register(_connected(self._port, request), selectors.EVENT_READ)
                asked += 1
            while answered < count:
                for key, _ in ready.select():
                    assert isinstance(key.fileobj, socket.socket)
                    answered += key.fileobj.recv(1 << 16).endswith(b"}}")
                    if asked < count:
                        key.fileobj.sendall(request)
                        asked += 1
            taken = time.perf_counter() - began
            for key in list(ready.get_map().values()):
                assert isinstance(key.fileobj, socket.socket)
                key.fileobj.close()
        return count / taken


def _connected(port: int, request: bytes) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port))
    made.sendall(request)
    return made


@contextmanager
def running(answer: str) -> Iterator[Model]:
    command = [sys.executable, str(PROGRAM), answer]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        yield Model(int(process.stdout.readline()))
        process.stdin.close()
