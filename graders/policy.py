"""The policy: a reference model behind any server that speaks OpenAI's chat completions."""

import email.utils
import json
import queue
import random
import re
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Self, TypeGuard

import httpx

from graders.errors import EnvironmentFault, ModelUnavailable, PromptTooLong

Json = dict[str, Any]

# What an environment may decide about a request; all else is the sampler's or nobody's.
BODY_KEYS: Final = ("messages", "tools", "tool_choice", "response_format", "stop", "max_tokens")
MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
CONNECT_S: Final = 10.0
BACKOFF_S: Final = 0.5
BACKOFF_LIMIT_S: Final = 30.0
RETRY_AFTER_LIMIT_S: Final = 60.0
QUOTE: Final = 300
KEY_LENGTH: Final = 12  # of a key that is one: some servers take any word

_RETRIED: Final = frozenset({408, 409, 425, 429})
_TOO_LONG_CODES: Final = frozenset({"exceed_context_size_error", "context_length_exceeded"})
# vLLM and older servers say it in words alone.
_TOO_LONG_WORDS: Final = re.compile(
    r"maximum context length|context (length|size|window)|prompt is too long", re.IGNORECASE
)


@dataclass(frozen=True)
class Sampler:
    """How the model is sampled; an environment cannot change it.

    Attributes:
        temperature: 0 or more.
        top_p: in (0, 1].
        max_tokens: token limit of one reply.
    """

    temperature: float = 0.7
    top_p: float = 1.0
    max_tokens: int = 256


@dataclass(frozen=True)
class Endpoint:
    """Where the model is and how hard it may be asked.

    Attributes:
        base_url: `http(s)://host/v1`, or `unix:/path/to.sock` for a server on a UNIX socket.
        model: the name the server knows the model by.
        api_key: sent as a bearer token unless empty; never shown.
        timeout_s: seconds for one attempt, from the request to the last byte of the answer.
        concurrency: requests under way at once, over all threads.
        retries: attempts after the first.
    """

    base_url: str
    model: str
    api_key: str = field(default="", repr=False)
    timeout_s: float = 60.0
    concurrency: int = 8
    retries: int = 4


class _Transient(Exception):
    """An attempt failed in a way that another may not. `wait_s` is the server's Retry-After."""

    def __init__(self, text: str, wait_s: float | None = None) -> None:
        super().__init__(text)
        self.wait_s = wait_s


class Policy:
    """Chats with one model. Threads may share it.

    Args:
        endpoint: the server and its limits.
        sampler: how every reply is sampled.
        sleep: waits between attempts; by default until the seconds are over or `close` is called.
        jitter: draws the wait from [a, b].

    Raises:
        ModelUnavailable: the endpoint's base_url or API key cannot be used.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        sampler: Sampler,
        *,
        sleep: Callable[[float], object] | None = None,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._endpoint = endpoint
        self._sampler = sampler
        self._closed = threading.Event()
        self._sleep = sleep or self._closed.wait
        self._jitter = jitter
        self._clients = _clients(endpoint)
        self._url = self._clients[0].base_url.join("chat/completions")
        # The one that was used last is lent first: its connection is open.
        self._idle: queue.LifoQueue[httpx.Client] = queue.LifoQueue()
        for client in self._clients:
            self._idle.put(client)

    def chat(self, body: Mapping[str, Any], seed: int) -> Json:
        """Ask for one completion.

        Args:
            body: a chat completions request. `messages`, `tools`, `tool_choice`, `response_format`
                and `stop` go to the model; `max_tokens` can only lower the sampler's limit; any
                other key is dropped.
            seed: the sampler's seed.

        Returns:
            A chat.completion with exactly one choice, whose message has a `content` (text) or
            `tool_calls`, and a finish_reason. `usage` counts prompt_tokens, completion_tokens and
            total_tokens, or is None if the server did not count.

        Raises:
            EnvironmentFault: the body is not a request.
            PromptTooLong: the conversation does not fit the model's context.
            ModelUnavailable: the server refused the request, or no attempt got a usable answer.
        """
        content = _encoded(self._payload(body, seed))
        attempts = self._endpoint.retries + 1
        for attempt in range(attempts):
            try:
                return self._attempt(content)
            except _Transient as error:
                failure = error
            if attempt + 1 < attempts:
                self._sleep(self._wait(attempt, failure.wait_s))
        raise ModelUnavailable(
            f"The model {self._endpoint.model} gave no usable answer in {attempts} attempts. "
            f"The last one: {failure}"
        )

    def close(self) -> None:
        """End it. Other threads' calls raise ModelUnavailable: those that wait between attempts at
        once, those the server is answering once that attempt is over.
        """
        self._closed.set()
        for client in self._clients:
            client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _payload(self, body: Mapping[str, Any], seed: int) -> Json:
        messages, asked = body.get("messages"), body.get("max_tokens")
        if not isinstance(messages, list) or not messages:
            raise EnvironmentFault("A request to the model needs a non-empty list of messages.")
        if asked is not None and not (_is_count(asked) and asked > 0):
            raise EnvironmentFault("max_tokens of a request to the model is a positive integer.")
        limit = self._sampler.max_tokens
        return {key: body[key] for key in BODY_KEYS if body.get(key) is not None} | {
            "model": self._endpoint.model,
            "temperature": self._sampler.temperature,
            "top_p": self._sampler.top_p,
            "max_tokens": limit if asked is None else min(asked, limit),
            "seed": seed,
            "n": 1,
            "stream": False,
        }

    def _attempt(self, content: bytes) -> Json:
        client = self._idle.get()
        try:
            if self._closed.is_set():
                raise ModelUnavailable("The connection to the model was closed.")
            status, headers, answer = self._post(client, content)
        except (httpx.RequestError, httpx.StreamError) as error:
            # Not `from error`: its own text may hold the key, and tracebacks are logged.
            raise _Transient(self._quote(f"{type(error).__name__}: {error}")) from None
        except RuntimeError as error:
            # What httpx raises if `close` came between the check and the request.
            raise _Transient(self._quote(str(error))) from None
        finally:
            self._idle.put(client)
        if 200 <= status < 300:
            return _completion(answer)
        raise self._refusal(status, headers, answer)

    def _post(self, client: httpx.Client, content: bytes) -> tuple[int, httpx.Headers, bytes]:
        deadline = time.monotonic() + self._endpoint.timeout_s
        answer = bytearray()
        request = httpx.Request("POST", self._url, headers=client.headers, content=content)
        with closing(client.send(request, stream=True)) as response:
            for chunk in response.iter_bytes():
                answer += chunk
                if len(answer) > MAX_ANSWER_BYTES:
                    raise _Transient(f"its answer is longer than {MAX_ANSWER_BYTES} bytes")
                if time.monotonic() > deadline:
                    raise _Transient(f"its answer took more than {self._endpoint.timeout_s:g} s")
            return response.status_code, response.headers, self._without_key(bytes(answer))

    def _refusal(self, status: int, headers: httpx.Headers, answer: bytes) -> Exception:
        """What an answer that is not a success means."""
        error = _error(answer)
        said = self._quote(f"status {status}: {error['message']}")
        if status in _RETRIED or status >= 500:
            return _Transient(said, _retry_after(headers))
        if _is_too_long(status, error):
            return PromptTooLong(f"The prompt is too long for {self._endpoint.model}: {said}")
        return ModelUnavailable(f"The model {self._endpoint.model} refused the request: {said}")

    def _wait(self, attempt: int, asked: float | None) -> float:
        """Seconds before the next attempt: full jitter, on top of what the server asks for."""
        backoff = self._jitter(0.0, min(BACKOFF_LIMIT_S, BACKOFF_S * 2.0**attempt))
        return backoff + min(asked or 0.0, RETRY_AFTER_LIMIT_S)

    def _without_key(self, answer: bytes) -> bytes:
        """What the server said, even if it repeats the request's headers: before any of it is cut,
        because half a key is a secret too."""
        key = self._endpoint.api_key.strip().encode()
        return answer.replace(key, b"[API key]") if len(key) >= KEY_LENGTH else answer

    def _quote(self, text: str) -> str:
        """Foreign text, short, on one line and without the API key."""
        if self._endpoint.api_key.strip():
            text = text.replace(self._endpoint.api_key.strip(), "[API key]")
        return " ".join(text.split())[:QUOTE]


def _clients(endpoint: Endpoint) -> list[httpx.Client]:
    """One for each request that may be under way.

    httpx's own pool looks at each of its connections at each request, so that one client for all
    takes three times as long at 32 of them.
    """
    socket, base_url = None, endpoint.base_url
    if base_url.startswith("unix:/"):
        socket, base_url = base_url.removeprefix("unix:"), "http://localhost/v1"
    elif not re.match(r"https?://[^/]", base_url):
        raise ModelUnavailable(
            "The model's base_url is http(s)://host/v1 or unix:/path/to.sock, and neither fits "
            "what is configured."
        )
    elif "@" in base_url:
        raise ModelUnavailable("The model's base_url holds a password; the API key is for that.")
    key = endpoint.api_key.strip()
    if not re.fullmatch(r"[!-~]*", key):
        raise ModelUnavailable("The model's API key has characters that no HTTP header can hold.")
    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
    trusted = httpx.create_ssl_context()
    try:
        return [
            httpx.Client(
                base_url=base_url,
                transport=httpx.HTTPTransport(trusted, uds=socket) if socket else None,
                verify=trusted,
                headers=headers | ({"Authorization": f"Bearer {key}"} if key else {}),
                timeout=httpx.Timeout(
                    endpoint.timeout_s, connect=min(CONNECT_S, endpoint.timeout_s)
                ),
            )
            for _ in range(endpoint.concurrency)
        ]
    except httpx.InvalidURL as error:
        raise ModelUnavailable(f"The model's base_url cannot be read: {error}") from error


def _encoded(payload: Json) -> bytes:
    """The payload as UTF-8 JSON, each half of a surrogate pair made a question mark."""
    return json.dumps(payload, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")


def _decoded(answer: bytes) -> Any:
    try:
        return json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise _Transient(f"its answer is not JSON ({len(answer)} bytes)") from error


def _completion(answer: bytes) -> Json:
    """The answer as a chat.completion of known shape. Raises _Transient if it is none."""
    body = _decoded(answer)
    try:
        (choice,) = body["choices"]
        message, reason = choice["message"], choice["finish_reason"]
        if not isinstance(reason, str):
            raise TypeError("finish_reason is not text")
        clean = _message(message)
        usage = _usage(body.get("usage"))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _Transient(f"its answer is no chat completion ({type(error).__name__})") from error
    return {
        "id": _text(body.get("id")),
        "object": "chat.completion",
        "created": body["created"] if _is_count(body.get("created")) else 0,
        "model": _text(body.get("model")),
        "choices": [{"index": 0, "message": clean, "finish_reason": reason}],
        "usage": usage,
    }


def _message(message: Json) -> Json:
    content, reasoning = message.get("content"), message.get("reasoning_content")
    calls = [_call(call) for call in message.get("tool_calls") or ()]
    if content is None and isinstance(reasoning, str) and not calls:
        # A reasoning model that ran out of tokens before it began to answer.
        content = ""
    if not (isinstance(content, str) or (content is None and calls)):
        raise TypeError("neither text nor tool calls")
    clean: Json = {"role": "assistant", "content": None if content is None else _text(content)}
    if isinstance(reasoning, str):
        clean["reasoning_content"] = _text(reasoning)
    return clean | ({"tool_calls": calls} if calls else {})


def _call(call: Json) -> Json:
    name, arguments = call["function"]["name"], call["function"]["arguments"]
    if not (isinstance(call["id"], str) and isinstance(name, str) and isinstance(arguments, str)):
        raise TypeError("a tool call is made of texts")
    function = {"name": _text(name), "arguments": _text(arguments)}
    return {"id": _text(call["id"]), "type": "function", "function": function}


def _usage(usage: Any) -> Json | None:
    """The server's own count of tokens; a guess would be worse than none."""
    if not isinstance(usage, dict):
        return None
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not (_is_count(prompt) and _is_count(completion)):
        return None
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def _error(answer: bytes) -> dict[str, str]:
    """`message`, `type` and `code` of an error answer, as far as it has them."""
    try:
        body = _decoded(answer)
    except _Transient:
        body = answer[:QUOTE].decode("utf-8", "replace")
    found = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(found, dict):
        found = {"message": found}
    return {key: str(found.get(key, "")) for key in ("message", "type", "code")}


def _is_too_long(status: int, error: dict[str, str]) -> bool:
    if status == 413 or _TOO_LONG_CODES & {error["type"], error["code"]}:
        return True
    return status in {400, 422} and bool(_TOO_LONG_WORDS.search(error["message"]))


def _retry_after(headers: httpx.Headers) -> float | None:
    """Seconds that the server asks to wait, given as a number or as a date; None if it does not."""
    asked = headers.get("Retry-After", "").strip()
    if asked.isascii() and asked.isdigit():
        return float(asked[:9])
    try:
        until = email.utils.parsedate_to_datetime(asked)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _text(value: Any) -> str:
    """A text that UTF-8 can hold; empty for anything else."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""
