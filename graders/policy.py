"""The policy: a reference model behind any server that speaks OpenAI's chat completions."""

import asyncio
import json
import random
import re
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import httpx
from yarl import URL

from graders import answers, tooltext
from graders.answers import Json, Transient, is_count
from graders.errors import EnvironmentFault, ModelUnavailable, PromptTooLong
from graders.tooltext import ToolCalls

# What an environment may decide about a request; all else is the sampler's or nobody's.
BODY_KEYS: Final = ("messages", "tools", "tool_choice", "response_format", "stop", "max_tokens")
TOOL_KEYS: Final = ("tools", "tool_choice")
MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
CONNECT_S: Final = 10.0
KEPT_S: Final = 4.0  # of an open connection that nobody uses: many servers close theirs after 5 s
BACKOFF_S: Final = 0.5
BACKOFF_LIMIT_S: Final = 30.0
RETRY_AFTER_LIMIT_S: Final = 60.0
KEY_LENGTH: Final = 12  # of a key that is one: some servers take any word

_JSON: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
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
        concurrency: requests under way at once.
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
    """Chats with one model, from within `async with` in one event loop.

    Args:
        endpoint: the server and its limits.
        sampler: how every reply is sampled.
        sleep: waits between attempts, that many seconds.
        jitter: draws the wait from [a, b].

    Raises:
        ModelUnavailable: the endpoint's base_url or API key, or the proxy, cannot be used.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        sampler: Sampler,
        *,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._endpoint = endpoint
        self._sampler = sampler
        self._sleep = sleep
        self._jitter = jitter
        self._url, self._socket = _place(endpoint)
        self._headers = _headers(endpoint)
        self._proxy = None if self._socket else _proxy(self._url)
        self._slots = asyncio.Semaphore(endpoint.concurrency)
        self._http: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        limit = self._endpoint.timeout_s
        self._http = aiohttp.ClientSession(
            connector=_connector(self._socket),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._headers,
            proxy=self._proxy,
            timeout=aiohttp.ClientTimeout(total=limit, connect=min(CONNECT_S, limit)),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.close()

    async def chat(self, body: Mapping[str, Any], seed: int) -> Json:
        """Ask for one completion. Cancelled, it ends the request and gives its slot back.

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
            ModelUnavailable: the server refused the request, no attempt got a usable answer, or
                the connection was closed.
        """
        payload = self._payload(body, seed)
        if self._endpoint.tools is ToolCalls.TEXT:
            return tooltext.heard(payload, await self._answer(tooltext.told(payload)))
        return await self._answer(payload)

    async def _answer(self, payload: Json) -> Json:
        content, uses_tools = _encoded(payload), "tools" in payload
        attempts = self._endpoint.retries + 1
        for attempt in range(attempts):
            try:
                return await self._attempt(content, uses_tools)
            except Transient as error:
                failure = error
            if attempt + 1 < attempts:
                await self._sleep(self._wait(attempt, failure.wait_s))
        raise ModelUnavailable(
            f"The model {self._endpoint.model} gave no usable answer in {attempts} attempts. "
            f"The last one: {failure}"
        )

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

    async def _attempt(self, content: bytes, uses_tools: bool) -> Json:
        async with self._slots:
            if self._http.closed:
                raise ModelUnavailable("The connection to the model was closed.")
            # The loop may have stood still: it sees first which connections the server closed.
            await asyncio.sleep(0)
            try:
                status, headers, answer = await self._post(content)
            except (aiohttp.ClientError, TimeoutError) as error:
                # Not `from error`: its own text may hold the key, and tracebacks are logged.
                raise Transient(self._quote(self._failure(error))) from None
        if 200 <= status < 300:
            return answers.completion(answer)
        raise self._refusal(status, headers, answer, uses_tools)

    async def _post(self, content: bytes) -> tuple[int, Mapping[str, str], bytes]:
        answer = bytearray()
        async with self._http.post(self._url, data=content, allow_redirects=False) as response:
            async for chunk in response.content.iter_any():
                answer += chunk
                if len(answer) > MAX_ANSWER_BYTES:
                    raise Transient(f"its answer is longer than {MAX_ANSWER_BYTES} bytes")
            return response.status, response.headers, self._without_key(bytes(answer))

    def _failure(self, error: Exception) -> str:
        """Why there was no answer. What holds pieces of one is not quoted: they may end in the
        middle of the key."""
        if isinstance(error, aiohttp.ClientOSError | aiohttp.ConnectionTimeoutError):
            return f"{type(error).__name__}: {error}"
        if isinstance(error, aiohttp.ClientHttpProxyError):
            return f"the proxy to it answered with status {error.status}"
        if isinstance(error, TimeoutError):
            return f"its answer took more than {self._endpoint.timeout_s:g} s"
        return f"its answer is cut off or not HTTP ({type(error).__name__})"

    def _refusal(
        self, status: int, headers: Mapping[str, str], answer: bytes, uses_tools: bool
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


def _connector(socket: str | None) -> aiohttp.BaseConnector:
    """Its own limit is none: the slots say how many connections there are."""
    if socket is not None:
        return aiohttp.UnixConnector(socket, limit=0, keepalive_timeout=KEPT_S)
    trusted = httpx.create_ssl_context()
    return aiohttp.TCPConnector(ssl=trusted, limit=0, keepalive_timeout=KEPT_S)


def _place(endpoint: Endpoint) -> tuple[URL, str | None]:
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
        return URL(f"{base_url.rstrip('/')}/chat/completions"), socket
    except ValueError as error:
        raise ModelUnavailable(f"The model's base_url cannot be read: {error}") from error


def _proxy(url: URL) -> URL | None:
    """The proxy that the surroundings name for this address."""
    named = urllib.request.getproxies()
    found = named.get(url.scheme, named.get("all"))
    if found is None or urllib.request.proxy_bypass(url.host or ""):
        return None
    with suppress(ValueError):
        proxy = URL(found)
        if proxy.scheme in ("http", "https") and proxy.host:
            return proxy
    # Not shown: it may hold a password.
    raise ModelUnavailable(
        f"The proxy to the model is http(s)://host:port, and {url.scheme.upper()}_PROXY or "
        "ALL_PROXY names something else."
    )


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
    return _JSON.encode(payload).encode("utf-8", "replace")
