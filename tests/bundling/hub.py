"""The part of a data set hub's API that reading one small data set takes, served on loopback.

Its answers have the shape of huggingface.co's; files are sent by way of a redirect to another
host name, as there.
"""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "c0ffee" + "0" * 34


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        hub: Hub = self.server.hub
        path = unquote(urlsplit(self.path).path)
        hub.seen.append(f"{self.command} {self.path}")
        if path.startswith("/cdn/"):
            self._send(200, hub.files[path.removeprefix("/cdn/")])
            return
        if not path.startswith((f"/api/datasets/{hub.name}", f"/datasets/{hub.name}/resolve/")):
            self._send(404, b"{}", X_Error_Code="RepoNotFound")
            return
        if path.startswith("/api/"):
            self._api(hub, path.removeprefix(f"/api/datasets/{hub.name}"))
            return
        file = path.removeprefix(f"/datasets/{hub.name}/resolve/").partition("/")[2]
        if file not in hub.files:
            self._send(404, b"", X_Error_Code="EntryNotFound")
            return
        content = hub.files[file]
        told = {
            "X_Repo_Commit": COMMIT,
            "X_Linked_Etag": f'"{hashlib.sha256(content).hexdigest()}"',
            "X_Linked_Size": str(len(content)),
            "Location": f"http://{hub.cdn}/cdn/{file}?signed=yes",
        }
        self._send(302, b"", **told)

    do_HEAD = do_GET

    def _api(self, hub: "Hub", rest: str) -> None:
        if rest in ("", "/revision/main", f"/revision/{COMMIT}"):
            siblings = [{"rfilename": name} for name in hub.files]
            info = {"id": hub.name, "sha": COMMIT, "siblings": siblings, "private": False}
            info |= {"tags": [], "gated": False, "disabled": False, "downloads": 0, "likes": 0}
            self._json(info)
        elif rest.startswith("/tree/"):
            folder = rest.removeprefix("/tree/").partition("/")[2].strip("/")
            self._json(hub.tree(folder))
        else:
            self._send(404, b"{}", X_Error_Code="EntryNotFound")

    def _json(self, found: object) -> None:
        self._send(200, json.dumps(found).encode(), Content_Type="application/json")

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Hub:
    """A hub with one data set, `name`, of `files`. `seen` has every request."""

    def __init__(self, name: str, files: dict[str, bytes]) -> None:
        self.name = name
        self.files = files
        self.seen: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.hub = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def cdn(self) -> str:
        """Where the bytes are: another origin."""
        return f"localhost:{self._server.server_address[1]}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def tree(self, folder: str) -> list[dict[str, object]]:
        """What lies in a folder."""
        below = [name for name in self.files if name.startswith(f"{folder}/" if folder else "")]
        found = {}
        for name in below:
            first, _, more = name.removeprefix(f"{folder}/" if folder else "").partition("/")
            path = f"{folder}/{first}" if folder else first
            if more:
                found[path] = {"type": "directory", "oid": "0" * 40, "size": 0, "path": path}
            else:
                oid = hashlib.sha256(self.files[name]).hexdigest()
                size = len(self.files[name])
                lfs = {"oid": oid, "size": size, "pointerSize": 130}
                entry = {"type": "file", "oid": oid[:40], "size": size, "path": path, "lfs": lfs}
                found[path] = entry
        return list(found.values())
