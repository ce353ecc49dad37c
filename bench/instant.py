"""A model that answers at once: an OpenAI-compatible server with one answer to everything.

Standard library only, a process of its own: `python instant.py ANSWER` prints its port and serves
loopback until its standard input ends. `GET /` tells what it did since the last `GET /`.
"""

import asyncio
import json
import sys
import time
from typing import Any

MODEL = "instant"


def completion(answer: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": answer}
    return {
        "id": "chatcmpl-0",
        "object": "chat.completion",
        "created": 0,
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }


def response(body: object) -> bytes:
    data = json.dumps(body).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(data)}"
    return head.encode() + b"\r\n\r\n" + data


class Tally:
    """What was asked since the last look: how often, and when first (monotonic seconds)."""

    def __init__(self) -> None:
        self._asked = 0
        self._first = 0.0
        self._spent = time.process_time()

    def note(self) -> None:
        if not self._asked:
            self._first = time.monotonic()
        self._asked += 1

    def read(self) -> dict[str, float]:
        """`cpu` is seconds of this process."""
        spent = time.process_time()
        found = {"asked": self._asked, "first": self._first, "cpu": spent - self._spent}
        self._asked, self._spent = 0, spent
        return found


class Connection(asyncio.Protocol):
    """One keep-alive connection; requests may come in pieces, and several at once."""

    def __init__(self, tally: Tally, answer: bytes) -> None:
        self._tally = tally
        self._answer = answer
        self._pending = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._pending += data
        while size := _size(self._pending):
            is_look = self._pending.startswith(b"GET ")
            self._pending = self._pending[size:]
            self._transport.write(response(self._tally.read()) if is_look else self._reply())

    def _reply(self) -> bytes:
        self._tally.note()
        return self._answer


def _size(data: bytes) -> int:
    """Bytes of the first request in `data`; 0 if it is not complete."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return 0
    head = data[:end].lower()
    _, named, rest = head.partition(b"\ncontent-length:")
    size = end + 4 + (int(rest.split(b"\r", 1)[0]) if named else 0)
    return size if len(data) >= size else 0


async def serve(answer: str) -> None:
    made, tally = response(completion(answer)), Tally()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(tally, made), "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
