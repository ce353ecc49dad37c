"""Environments written to a folder, and sessions with them."""

import asyncio
import textwrap
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy

from graders.sandbox.base import Limits
from graders.session import Launch, Request, RolloutResult, Session
from tests.runner.local import Local, Scripted


def completion(
    text: str,
    finish_reason: str = "stop",
    tokens: int = 5,
    tool_calls: Sequence[tuple[str, str, str]] = (),
) -> dict[str, Any]:
    """A chat completion; `tool_calls` are (id, name, arguments)."""
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if tool_calls:
        message["tool_calls"] = [
            {"id": one, "type": "function", "function": {"name": name, "arguments": arguments}}
            for one, name, arguments in tool_calls
        ]
    return {
        "choices": [{"message": message, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 10, "completion_tokens": tokens},
    }


def carried_out(session: Session, requests: list[Request]) -> list[RolloutResult]:
    """The results of a session's rollouts, in the order of the requests."""
    results: list[RolloutResult] = []
    session.run(requests, results.append)
    found = {(one.task, one.number): one for one in results}
    assert len(results) == len(found) == len(requests)
    return [found[one.task, one.number] for one in requests]


class Chat:
    """A policy that says what `say(messages, seed)` gives, and keeps what it was asked."""

    def __init__(self, say: Callable[[list[dict[str, str]], int], Any]) -> None:
        self.say = say
        self.asked: list[tuple[dict[str, Any], int]] = []
        self._pool = ThreadPoolExecutor(32)  # `say` may wait

    async def chat(self, body: dict[str, Any], seed: int) -> dict[str, Any]:
        self.asked.append((body, seed))
        loop = asyncio.get_running_loop()
        said = await loop.run_in_executor(self._pool, self.say, body["messages"], seed)
        return completion(said) if isinstance(said, str) else said

    async def __aenter__(self) -> "Chat":
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing was opened."""


class Bench:
    """Writes an environment and opens sessions with it."""

    def __init__(self, scratch: Path, bundle: Path) -> None:
        self.bundle = bundle
        self.sandbox: Local = Local(scratch)
        self.sites: tuple[str, ...] = ()

    def with_numpy(self) -> "Bench":
        """Let environments import numpy (and whatever else is installed here)."""
        self.sites = (str(Path(numpy.__file__).parents[1]),)
        return self

    def write(self, source: str, name: str = "env.py") -> None:
        (self.bundle / name).write_text(textwrap.dedent(source))

    def scripted(self, script: str, *, hello: bool = True) -> None:
        """Put a script in the runner's place, see `Scripted`."""
        folder = self.bundle.parent / "scripted"
        folder.mkdir()
        self.sandbox = Scripted(folder, script, hello=hello)

    def launch(self, **changes: Any) -> Launch:
        terms: dict[str, Any] = {
            "bundle": self.bundle,
            "entry": "env:make",
            "format": None,
            "args": {},
            "paths": (str(self.bundle), *self.sites),
            "max_turns": 8,
            "reward_range": (0.0, 1.0),
            "limits": Limits(seconds=60.0),
            "concurrency": 4,
            "job": "test",
        }
        return Launch(**{**terms, **changes})

    def session(self, chat: Any = None, **changes: Any) -> Session:
        return Session(self.sandbox, self.launch(**changes), chat)

    def run(self, chat: Any, requests: list[Request], **changes: Any) -> list[RolloutResult]:
        """The results in the order of the requests."""
        with self.session(chat, **changes) as session:
            return carried_out(session, requests)

    def one(self, source: str, reply: str = "x", **changes: Any) -> RolloutResult:
        """The result of a single rollout of task 0."""
        self.write(source)
        return self.run(Chat(lambda *_: reply), [Request(0, 0, 1)], **changes)[0]
