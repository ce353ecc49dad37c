"""The package index, or the hosts of data, as a build sees them: HTTP on loopback.

Each request is a question to the worker. Of the index only GET is asked, and nothing but the path
is told; hosts of data are asked with the method and the wanted range, below /SCHEME/HOST.
"""

import base64
import itertools
import queue
import re
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from practicum_runner.wire import Wire

ADDRESS = re.compile(r"(?<![\w/])(https?)://([^/?#>]+)")
HELD = 8  # parts of one answer that wait to be written


class Web:
    """Serves GET from what the worker answers. `deliver` is fed with its frames."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.is_index = True
        self._numbers = itertools.count()
        self._waiting: dict[int, queue.Queue[dict[str, Any]]] = {}
        # A sandbox has no network but its own loopback, of which all addresses are this server's.
        self._server = ThreadingHTTPServer(("0.0.0.0", 0), self._handler())  # noqa: S104
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def other_url(self) -> str:
        """The same, as another host."""
        return f"http://127.0.0.2:{self._server.server_address[1]}"

    def ask(self, path: str, **told: str) -> tuple[int, "queue.Queue[dict[str, Any]]"]:
        """Send a question; the queue gives the answer's head, then its parts up to the last."""
        number = next(self._numbers)
        self._waiting[number] = queue.Queue(HELD)
        self._wire.send("fetch", rid=number, path=path, **told)
        return number, self._waiting[number]

    def inner(self, value: str, path: str) -> str:
        """A header's addresses as they are in here; `path` is what was asked for.

        What was another host is another one in here too: libraries look at that.
        """
        asked = "/".join(path.split("/")[:3])
        if value.startswith("/"):
            return asked + value

        def seen(found: re.Match[str]) -> str:
            place = f"/{found[1]}/{found[2]}"
            return (self.url if place == asked else self.other_url) + place

        return ADDRESS.sub(seen, value)

    def deliver(self, frame: dict[str, Any]) -> None:
        """Pass on a frame of an answer; waits while its reader is slow."""
        waiting = self._waiting.get(frame["rid"])
        if waiting is not None:  # else its reader hung up
            waiting.put(frame)

    def forget(self, number: int) -> None:
        """Nobody reads this answer any more."""
        waiting = self._waiting.pop(number)
        with suppress(queue.Empty):
            while True:
                waiting.get_nowait()  # lets `deliver` go on if it waits

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        web = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if web.is_index:
                    number, parts = web.ask(self.path[:1000])
                else:
                    asked = self.headers.get("Range", "")[:100]
                    number, parts = web.ask(self.path[:4000], method=self.command, range=asked)
                try:
                    self._answer(parts)
                except OSError:
                    self.close_connection = True
                finally:
                    web.forget(number)

            def do_HEAD(self) -> None:
                self.send_error(405) if web.is_index else self.do_GET()

            def _answer(self, parts: "queue.Queue[dict[str, Any]]") -> None:
                head = parts.get()
                self.send_response(head["status"])
                for name, value in head["headers"].items():
                    addresses = name in ("link", "location")
                    self.send_header(name, web.inner(value, self.path) if addresses else value)
                if head["length"] is None:
                    self.send_header("Connection", "close")
                else:
                    self.send_header("Content-Length", str(head["length"]))
                self.end_headers()
                while (data := parts.get()["data"]) is not None:
                    self.wfile.write(base64.b64decode(data))

            def log_message(self, *_: object) -> None:
                pass

        return Handler
