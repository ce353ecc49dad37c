"""A reference model for the fault run: answers at once, and misbehaves on demand.

Run as `python -m tests.faults.model_server --socket PATH --odd FILE`. What it answers depends on
the conversation and the seed alone, so whoever knows those knows the answer. `POST /control` with
`{"mode", "seconds"}` makes it misbehave for a while. An answer that is valid but odd (NUL, half of
a surrogate pair, nothing at all) is noted in FILE first, one JSON list `[key, text]` a line.
"""

import argparse
import asyncio
import hashlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

MODEL_NAME = "deterministic"
SLOW_S = 1.2
ODD = ("", "\x00nul\x00", "half \ud83d of a pair", "\u202eright to left\u2028\x07", "9" * 5000)
Message = Mapping[str, Any]


def key(messages: Sequence[Message], seed: int) -> str:
    """Names one question: the conversation as the model sees it, and the sampler's seed."""
    plain = [[message["role"], message["content"]] for message in messages]
    return hashlib.sha256(json.dumps([plain, seed]).encode()).hexdigest()


def answer(question: str) -> str:
    """The text that answers the question with this key."""
    return f"I say {question[:12]}"


def completion(text: str) -> bytes:
    """A chat completion, as the API's description has it."""
    message = {"role": "assistant", "content": text}
    body = {
        "id": "c",
        "object": "chat.completion",
        "created": 0,
        "model": MODEL_NAME,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    }
    return json.dumps(body).encode()


class Model:
    """The server's state: how it behaves now, and until when."""

    def __init__(self, odd: Path) -> None:
        self._odd = odd
        self._mode, self._until = "ok", 0.0

    @property
    def mode(self) -> str:
        return self._mode if time.monotonic() < self._until else "ok"

    def control(self, told: Mapping[str, Any]) -> None:
        self._mode, self._until = told["mode"], time.monotonic() + told["seconds"]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, kept open between requests."""
        try:
            while (request := await _request(reader)) is not None:
                if not await self._respond(*request, writer):
                    break
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _respond(self, path: str, body: bytes, writer: asyncio.StreamWriter) -> bool:
        """Answers one request; False ends the connection."""
        if path == "/health":
            return _send(writer, b"{}")
        told = json.loads(body)
        if path == "/control":
            self.control(told)
            return _send(writer, b"{}")
        return await self._chat(told, writer)

    async def _chat(self, told: Mapping[str, Any], writer: asyncio.StreamWriter) -> bool:
        question = key(told["messages"], told["seed"])
        whole = completion(answer(question))
        match self.mode:
            case "slow":
                await asyncio.sleep(SLOW_S)
            case "error":
                return _send(writer, b'{"error": {"message": "overloaded"}}', 500)
            case "garbage":
                return _send(writer, b"<html>It works!</html>")
            case "wrong":
                return _send(writer, b'{"choices": [{"message": {"content": 7}}]}')
            case "truncated":
                writer.write(_head(200, len(whole)) + whole[: len(whole) // 2])
                return False
            case "closed":
                return False
            case "hanging":
                await asyncio.sleep(60)
            case "odd":
                whole = completion(self._oddity(question))
        return _send(writer, whole)

    def _oddity(self, question: str) -> str:
        """An odd but valid answer; always the same one to the same question."""
        text = ODD[int(question[:8], 16) % len(ODD)]
        with self._odd.open("a") as log:
            log.write(json.dumps([question, text]) + "\n")
        return text


async def _request(reader: asyncio.StreamReader) -> tuple[str, bytes] | None:
    """A request's path and body; None at the end of the connection."""
    line = await reader.readline()
    if not line:
        return None
    length = 0
    while (header := await reader.readline()).strip():
        name, _, value = header.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return line.split()[1].decode().removeprefix("/v1"), await reader.readexactly(length)


def _head(status: int, length: int) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", "Content-Type: application/json"]
    return "\r\n".join([*lines, f"Content-Length: {length}", "", ""]).encode()


def _send(writer: asyncio.StreamWriter, body: bytes, status: int = 200) -> bool:
    writer.write(_head(status, len(body)) + body)
    return True


async def _main(socket: Path, odd: Path) -> None:
    socket.unlink(missing_ok=True)
    server = await asyncio.start_unix_server(Model(odd).serve, str(socket))
    await server.serve_forever()


def main() -> int:
    parser = argparse.ArgumentParser(description="Serve the fault run's model.")
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--odd", type=Path, required=True)
    options = parser.parse_args()
    asyncio.run(_main(options.socket, options.odd))
    return 0


if __name__ == "__main__":
    sys.exit(main())
