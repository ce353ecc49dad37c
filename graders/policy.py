"""The policy: a reference model behind any server that speaks OpenAI's chat completions."""

import json
import queue
import random
import re
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

import httpx

from graders import answers, tooltext
from graders.answers import Json, Transient, is_count
from graders.errors import EnvironmentFault, ModelUnavailable, PromptTooLong
from graders.tooltext import ToolCalls

# What an environment may decide about a request; all else is the sampler's or nobody's.
BODY_KEYS: Final = ("messages", "tools", "tool_choice", "response_format", "stop", "max_tokens")
TOOL_KEYS: Final = ("tools", "tool_choice")
MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
CONNECT_S: Final = 10.0
BACKOFF_S: Final = 0.5
BACKOFF_LIMIT_S: Final = 30.0
RETRY_AFTER_LIMIT_S: Final = 60.0
KEY_LENGTH: Final = 12  # of a key that is one: some servers take any word

_RETRIED: Final = frozenset({408, 409, 425, 429})


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
        tools: whether the server takes tools and returns calls, or the conversation tells of them.
        timeout_s: seconds for one attempt, from the request to the last byte of the answer.
        concurrency: requests under way at once, over all threads.
        retries: attempts after the first.
    """

    base_url: str
    model: str
    api_key: str = field(default="", repr=False)
    tools: ToolCalls = ToolCalls.NATIVE
    timeout_s: float = 60.0
    concurrency: int = 8
    retries: int = 4


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
        self._url, socket = _place(endpoint)
        self._headers = _headers(endpoint)
        limits = httpx.Timeout(endpoint.timeout_s, connect=min(CONNECT_S, endpoint.timeout_s))
        self._extensions = {"timeout": limits.as_dict()}
        self._transports = _transports(endpoint, self._url, socket)
        # The one that was used last is lent first: its connection is open.
        self._idle: queue.LifoQueue[httpx.HTTPTransport] = queue.LifoQueue()
        for transport in self._transports:
            self._idle.put(transport)

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
        payload = self._payload(body, seed)
        if self._endpoint.tools is ToolCalls.TEXT:
            return tooltext.heard(payload, self._answer(tooltext.told(payload)))
        return self._answer(payload)

    def _answer(self, payload: Json) -> Json:
        content, uses_tools = _encoded(payload), "tools" in payload
        attempts = self._endpoint.retries + 1
        for attempt in range(attempts):
            try:
                return self._attempt(content, uses_tools)
            except Transient as error:
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
        for transport in self._transports:
            transport.close()

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
        if asked is not None and not (is_count(asked) and asked > 0):
            raise EnvironmentFault("max_tokens of a request to the model is a positive integer.")
        limit = self._sampler.max_tokens
        # Servers refuse an empty list of tools, and a choice among none.
        dropped = () if body.get("tools") else TOOL_KEYS
        kept = [key for key in BODY_KEYS if body.get(key) is not None and key not in dropped]
        return {key: body[key] for key in kept} | {
            "model": self._endpoint.model,
            "temperature": self._sampler.temperature,
            "top_p": self._sampler.top_p,
            "max_tokens": limit if asked is None else min(asked, limit),
            "seed": seed,
            "n": 1,
            "stream": False,
        }

    def _attempt(self, content: bytes, uses_tools: bool) -> Json:
        transport = self._idle.get()
        try:
            if self._closed.is_set():
                raise ModelUnavailable("The connection to the model was closed.")
            status, headers, answer = self._post(transport, content)
        except (httpx.RequestError, httpx.StreamError) as error:
            # Not `from error`: its own text may hold the key, and tracebacks are logged.
            raise Transient(self._quote(f"{type(error).__name__}: {error}")) from None
        except RuntimeError as error:
            # What httpx raises if `close` came between the check and the request.
            raise Transient(self._quote(str(error))) from None
        finally:
            self._idle.put(transport)
        if 200 <= status < 300:
            return answers.completion(answer)
        raise self._refusal(status, headers, answer, uses_tools)

    def _post(
        self, transport: httpx.HTTPTransport, content: bytes
    ) -> tuple[int, httpx.Headers, bytes]:
        deadline = time.monotonic() + self._endpoint.timeout_s
        answer = bytearray()
        request = httpx.Request(
            "POST",
            self._url,
            headers=self._headers,
            content=content,
            extensions=self._extensions,
        )
        with closing(transport.handle_request(request)) as response:
            for chunk in response.iter_bytes():
                answer += chunk
                if len(answer) > MAX_ANSWER_BYTES:
                    raise Transient(f"its answer is longer than {MAX_ANSWER_BYTES} bytes")
                if time.monotonic() > deadline:
                    raise Transient(f"its answer took more than {self._endpoint.timeout_s:g} s")
            return response.status_code, response.headers, self._without_key(bytes(answer))

    def _refusal(
        self, status: int, headers: httpx.Headers, answer: bytes, uses_tools: bool
    ) -> Exception:
        """What an answer that is not a success means."""
        error = answers.error(answer)
        model, said = self._endpoint.model, self._quote(f"status {status}: {error['message']}")
        if answers.is_too_long(status, error):
            return PromptTooLong(f"The prompt is too long for {model}: {said}")
        if uses_tools and status not in _RETRIED and answers.lacks_tools(said):
            return ModelUnavailable(
                f"The model {model} takes no tools: {said}. An administrator can set the "
                f'reference model\'s tool calls to "{ToolCalls.TEXT}".'
            )
        if status in _RETRIED or status >= 500:
            return Transient(said, answers.retry_after(headers))
        return ModelUnavailable(f"The model {model} refused the request: {said}")

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
        return " ".join(text.split())[: answers.QUOTE]


def _transports(
    endpoint: Endpoint, url: httpx.URL, socket: str | None
) -> list[httpx.HTTPTransport]:
    """One for each request that may be under way, through the proxy that the surroundings name.

    httpx's own pool looks at each of its connections at each request, so that one client for all
    takes three times as long at 32 of them; and its client does what no server of models needs.
    """
    trusted = httpx.create_ssl_context()
    named = urllib.request.getproxies()
    is_direct = socket is not None or urllib.request.proxy_bypass(url.host)
    proxy = None if is_direct else named.get(url.scheme, named.get("all"))
    return [
        httpx.HTTPTransport(trusted, uds=socket, proxy=proxy) for _ in range(endpoint.concurrency)
    ]


def _place(endpoint: Endpoint) -> tuple[httpx.URL, str | None]:
    """The address of chat completions, and the socket that it is behind, if there is one."""
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
    try:
        return httpx.URL(f"{base_url.rstrip('/')}/chat/completions"), socket
    except httpx.InvalidURL as error:
        raise ModelUnavailable(f"The model's base_url cannot be read: {error}") from error


def _headers(endpoint: Endpoint) -> dict[str, str]:
    key = endpoint.api_key.strip()
    if not re.fullmatch(r"[!-~]*", key):
        raise ModelUnavailable("The model's API key has characters that no HTTP header can hold.")
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": "practicum",
    }
    return headers | ({"Authorization": f"Bearer {key}"} if key else {})


def _encoded(payload: Json) -> bytes:
    """The payload as UTF-8 JSON, each half of a surrogate pair made a question mark."""
    return json.dumps(payload, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
