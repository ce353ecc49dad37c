"""Where rate limits count: Valkey, and this process's own memory while Valkey is away."""

import json
import logging
import time
from collections.abc import Callable
from typing import Any, Final

from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

RETRY_S: Final = 10.0


class JsonSerializer:
    """Values as JSON: what a cache gives back is read, never executed as a pickle would be."""

    def dumps(self, value: Any) -> Any:
        # Valkey counts with plain integers; a bool is no count.
        return value if type(value) is int else json.dumps(value)

    def loads(self, data: bytes) -> Any:
        return json.loads(data)


class LimitsCache(RedisCache):
    """Never raises because Valkey is away: signing in goes on, still limited in each process.

    After a failure this process asks Valkey again only after `RETRY_S` seconds, so that nobody
    waits for it again and again.
    """

    # Of the process: Django makes one cache object for each thread.
    _away_until = 0.0

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._own = LocMemCache(f"limits {server}", {})

    def add(
        self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> bool:
        return bool(self._either("add", key, value, timeout, version))

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        return self._either("get", key, default, version)

    def set(
        self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> None:
        self._either("set", key, value, timeout, version)

    def touch(self, key: str, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        return bool(self._either("touch", key, timeout, version))

    def delete(self, key: str, version: int | None = None) -> bool:
        return bool(self._either("delete", key, version))

    def has_key(self, key: str, version: int | None = None) -> bool:
        return bool(self._either("has_key", key, version))

    def clear(self) -> None:
        self._either("clear")

    def _either(self, name: str, *args: Any) -> Any:
        if time.monotonic() >= LimitsCache._away_until:
            shared: Callable[..., Any] = getattr(super(), name)
            try:
                return shared(*args)
            except RedisError as error:
                LimitsCache._away_until = time.monotonic() + RETRY_S
                # Its kind alone: the text may hold the address with its password.
                logger.error("Rate limits count in this process: %s.", type(error).__name__)
        return getattr(self._own, name)(*args)
