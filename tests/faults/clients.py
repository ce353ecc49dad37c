"""The people of the fault run: they upload through the REST API, and insist until they succeed."""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import Empty, Queue
from typing import Any

import httpx

from tests.faults.packages import NUMBER, Package

CATALOGUE = "/api/v1/environments/"
THREADS = 4
TIMEOUT = 20.0
AGAIN_S = 0.7
ACCEPTED = frozenset({200, 201})
LATER = frozenset({429, 502, 503, 504, 507})


@dataclass(frozen=True)
class Upload:
    """One package in somebody's name."""

    owner: str
    package: Package

    @property
    def url(self) -> str:
        return f"{CATALOGUE}{self.owner}/{self.package.name}/versions/"


class Site:
    """The REST API as its users see it. Threads may share it."""

    def __init__(self, port: int, tokens: dict[str, str]) -> None:
        self._base_url = f"http://127.0.0.1:{port}"
        self._tokens = tokens

    def post(self, upload: Upload) -> int:
        """Uploads once; the status of the answer, 0 if there was none."""
        archive = (f"{upload.package.name}.tar.gz", upload.package.archive)
        return self._ask("POST", upload.url, upload.owner, files={"archive": archive})

    def begin(self, upload: Upload, seconds: float) -> None:
        """Sends an upload slowly, over some seconds; whatever becomes of it."""
        head = (
            b'--x\r\nContent-Disposition: form-data; name="archive"; filename="a.tar.gz"\r\n'
            b"Content-Type: application/gzip\r\n\r\n"
        )
        whole = head + upload.package.archive + b"\r\n--x--\r\n"
        headers = {
            "Content-Type": "multipart/form-data; boundary=x",
            "Content-Length": str(len(whole)),
        }
        content = _slowly(whole, seconds)
        self._ask("POST", upload.url, upload.owner, content=content, headers=headers)

    def evaluate(self, upload: Upload) -> int:
        """Asks for a version to be evaluated again."""
        return self._ask("POST", f"{upload.url}{NUMBER}/evaluations/", upload.owner, json={})

    def read(self, times: int) -> list[int]:
        """Asks for the catalogue some times at once; the statuses."""
        with ThreadPoolExecutor(times) as pool:
            return list(pool.map(lambda _: self._ask("GET", CATALOGUE), range(times)))

    def at_once(self, uploads: Sequence[Upload]) -> list[int]:
        """Uploads all in the same moment, each once; the statuses in order."""
        start = threading.Barrier(len(uploads))

        def one(upload: Upload) -> int:
            start.wait()
            return self.post(upload)

        with ThreadPoolExecutor(len(uploads)) as pool:
            return list(pool.map(one, uploads))

    def _ask(self, method: str, url: str, owner: str | None = None, **what: Any) -> int:
        """Sends one request, in somebody's name or nobody's; the status, 0 if none came."""
        known = {} if owner is None else {"Authorization": f"Token {self._tokens[owner]}"}
        with httpx.Client(
            base_url=self._base_url, headers=known, timeout=TIMEOUT, trust_env=False
        ) as client:
            try:
                return client.request(method, url, **what).status_code
            except httpx.HTTPError:
                return 0


class Crowd:
    """Threads that upload what is released to them, again and again until it is accepted."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._queue: Queue[Upload] = Queue()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.accepted: set[Upload] = set()
        self.refused: list[tuple[Upload, int]] = []
        self.answers: Counter[int] = Counter()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(THREADS)]
        for thread in self._threads:
            thread.start()

    def release(self, uploads: Sequence[Upload]) -> None:
        for upload in uploads:
            self._queue.put(upload)

    def note(self, upload: Upload, status: int) -> None:
        """Counts an answer to somebody who is not of the crowd."""
        with self._lock:
            self.answers[status] += 1
            if status in ACCEPTED:
                self.accepted.add(upload)

    @property
    def is_done(self) -> bool:
        return self._queue.unfinished_tasks == 0

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                upload = self._queue.get(timeout=0.1)
            except Empty:
                continue
            self._insist(upload)
            self._queue.task_done()

    def _insist(self, upload: Upload) -> None:
        while not self._stop.is_set():
            status = self._site.post(upload)
            self.note(upload, status)
            if status in ACCEPTED:
                return
            if status and status not in LATER:
                with self._lock:
                    self.refused.append((upload, status))
                return
            self._stop.wait(AGAIN_S)


def _slowly(content: bytes, seconds: float) -> Iterator[bytes]:
    parts = 20
    size = len(content) // parts + 1
    for at in range(0, len(content), size):
        yield content[at : at + size]
        time.sleep(seconds / parts)
