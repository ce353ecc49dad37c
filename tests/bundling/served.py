"""A package index on loopback that serves what a test gives it, well or badly."""

import hashlib
import html
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from packaging.utils import canonicalize_name

JSON = "application/vnd.pypi.simple.v1+json"
Behaviour = Callable[["Handler"], None]


@dataclass
class Item:
    """A file of a project, and how its page lists it."""

    content: bytes
    listed: dict[str, Any]
    metadata: bytes | None


class Handler(BaseHTTPRequestHandler):
    """Does what the test said for the path, else answers as a good index would."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        served: Served = self.server.served
        served.seen.append((self.path, dict(self.headers)))
        served.behaviours.get(self.path, served.answer)(self)

    def do_HEAD(self) -> None:
        self.server.served.seen.append((f"HEAD {self.path}", dict(self.headers)))
        self.send(405, b"")

    do_POST = do_HEAD

    def send(self, status: int, body: bytes, **headers: str) -> None:
        self.server.served.sent += len(body)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Served:
    """The index. `behaviours` maps a path to what is done instead; `seen` has every request.

    Without `ranges` it sends whole files only.
    """

    def __init__(self, prefix: str = "/simple") -> None:
        self.prefix = prefix
        self.as_html = False
        self.ranges = True
        self.sent = 0  # bytes of bodies
        self.behaviours: dict[str, Behaviour] = {}
        self.seen: list[tuple[str, dict[str, str]]] = []
        self._projects: dict[str, dict[str, Item]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._server.served = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.address}{self.prefix}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def add(
        self, filename: str, content: bytes, /, *, metadata: bytes | None = None, **listed: Any
    ) -> str:
        """Serve a file; its SHA-256. `listed` adds to its entry, or changes it."""
        sha256 = hashlib.sha256(content).hexdigest()
        project = filename.split("-", maxsplit=1)[0]
        entry = {
            "filename": filename,
            "url": f"../../files/{filename}",
            "hashes": {"sha256": sha256},
        }
        if metadata is not None:
            entry["core-metadata"] = {"sha256": hashlib.sha256(metadata).hexdigest()}
        changed = {key.replace("_", "-"): value for key, value in listed.items()}
        item = Item(content, entry | changed, metadata)
        self._projects.setdefault(str(canonicalize_name(project)), {})[filename] = item
        return sha256

    def behave(self, path: str, behaviour: Behaviour) -> None:
        self.behaviours[path] = behaviour

    def page_path(self, project: str) -> str:
        return f"{self.prefix}/{project}/"

    def paths(self) -> list[str]:
        return [path for path, _ in self.seen]

    def answer(self, handler: Handler) -> None:
        """What a good index does."""
        folder, _, name = handler.path.rstrip("/").rpartition("/")
        if folder == self.prefix and name in self._projects:
            kind = "text/html" if self.as_html else JSON
            handler.send(200, self._page(name), Content_Type=kind)
            return
        found = self._content(name)
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", handler.headers.get("Range", ""))
        if found is None:
            handler.send(404, b"")
        elif asked is None or not self.ranges:
            handler.send(200, found)
        else:
            self._send_part(handler, found, *asked.groups())

    def _send_part(self, handler: Handler, content: bytes, first: str, last: str) -> None:
        size = len(content)
        start = int(first) if first else max(0, size - int(last))
        stop = min(size, int(last) + 1) if first and last else size
        told = f"bytes {start}-{stop - 1}/{size}"
        handler.send(206, content[start:stop], Content_Range=told)

    def _content(self, name: str) -> bytes | None:
        for items in self._projects.values():
            if name in items:
                return items[name].content
            if name.endswith(".metadata") and name.removesuffix(".metadata") in items:
                return items[name.removesuffix(".metadata")].metadata
        return None

    def _page(self, name: str) -> bytes:
        entries = [item.listed for item in self._projects[name].values()]
        if not self.as_html:
            page = {"meta": {"api-version": "1.0"}, "name": name, "files": entries}
            return json.dumps(page).encode()
        return "\n".join(["<!DOCTYPE html><html><body>", *map(_link, entries)]).encode()


def _link(entry: dict[str, Any]) -> str:
    attributes = {
        "href": f"{entry['url']}#sha256={entry['hashes'].get('sha256', '')}",
        "data-requires-python": entry.get("requires-python"),
        "data-yanked": entry.get("yanked"),
    }
    if "core-metadata" in entry:
        attributes["data-core-metadata"] = f"sha256={entry['core-metadata']['sha256']}"
    words = (f'{key}="{html.escape(str(value))}"' for key, value in attributes.items() if value)
    return f"<a {' '.join(words)}>{entry['filename']}</a><br/>"
