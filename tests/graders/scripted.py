"""A chat completions server on loopback that does what a test tells it to."""

import asyncio
import json
import socketserver
import threading
import time
from collections.abc import Callable, Coroutine, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self, TypeVar

from graders.policy import Endpoint, Policy, Sampler

KEY = "sk-very-secret"
ASK = {"messages": [{"role": "user", "content": "2 + 2?"}]}
T = TypeVar("T")
Behaviour = Callable[["Handler"], None]


def completion(**changed: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": "4"} | changed.pop("message", {})
    return {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6},
    } | changed


def choices(**message: Any) -> dict[str, Any]:
    return {"choices": [{"message": message, "finish_reason": "stop"}]}


class Handler(BaseHTTPRequestHandler):
    """Does what the server's script says next; the last line of a script is repeated."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        script = self.server.script
        with self.server.lock:
            self.server.seen.append((self.path, dict(self.headers), json.loads(body)))
            behave = script[min(len(self.server.seen), len(script)) - 1]
        behave(self)

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "peer"

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


class Server:
    """A scripted server on loopback, or on a UNIX socket."""

    def __init__(self, socket: Path | None = None) -> None:
        if socket is None:
            self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        else:
            self._server = socketserver.ThreadingUnixStreamServer(str(socket), Handler)
            self.base_url = f"unix:{socket}"
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._server.script, self._server.seen = [ok()], []
        self._server.lock = threading.Lock()
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def seen(self) -> list[tuple[str, dict[str, str], dict[str, Any]]]:
        return self._server.seen

    def play(self, *script: Behaviour) -> None:
        self._server.script = list(script)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def ok(**changed: Any) -> Behaviour:
    return lambda handler: handler.answer(200, json.dumps(completion(**changed)).encode())


def says(status: int, body: Any, **headers: str) -> Behaviour:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda handler: handler.answer(status, raw, **headers)


def cut_off(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "5000")
    handler.end_headers()
    handler.wfile.write(json.dumps(completion()).encode()[:40])
    handler.close_connection = True


def hang_up(handler: Handler) -> None:
    handler.close_connection = True


def dawdle(handler: Handler) -> None:
    time.sleep(0.6)
    hang_up(handler)


def drip(handler: Handler) -> None:
    """Give a good answer over 2 s, never idle for long enough for a read to time out."""
    body = json.dumps(completion()).encode()
    handler.send_response(200)
    handler.send_header("Content-Length", str(40 + len(body)))
    handler.end_headers()
    try:
        for _ in range(40):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.05)
        handler.wfile.write(body)
    except OSError:
        pass


class Talk:
    """A policy in an event loop that runs while it is asked."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def __enter__(self) -> Self:
        self._runner = asyncio.Runner()
        self._runner.run(self.policy.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self.policy.__aexit__(None, None, None))
        self._runner.close()

    def chat(self, body: dict[str, Any], seed: int) -> dict[str, Any]:
        return self.run(self.policy.chat(body, seed))

    def chats(self, body: dict[str, Any], seeds: Iterable[int]) -> list[dict[str, Any]]:
        """The answers to a request with each of these seeds, asked for at once."""

        async def ask() -> list[dict[str, Any]]:
            return await asyncio.gather(*(self.policy.chat(body, seed) for seed in seeds))

        return self.run(ask())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)


def policy(
    server: Server, waits: list[float], sampler: Sampler | None = None, **changed: Any
) -> Talk:
    """One that writes down how long it would wait between attempts, and does not."""
    endpoint = Endpoint(
        **({"base_url": server.base_url, "model": "m", "api_key": KEY, "timeout_s": 5.0} | changed)
    )

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    made = Policy(endpoint, sampler or Sampler(), sleep=sleep, jitter=lambda low, high: high)
    return Talk(made)
