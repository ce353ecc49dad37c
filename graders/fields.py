"""The fields of one frame from inside a sandbox, each taken out and checked as if an attacker had
written it."""

import math
import re
from collections.abc import Callable
from typing import Any, TypeVar, cast

from graders.errors import EnvironmentFault
from graders.runner.frames import MAX_NAME

T = TypeVar("T")

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
# All controls but tab and line feed: printed, they could rewrite an operator's terminal.
_CONTROLS = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


class ProtocolError(EnvironmentFault):
    """A runner sent what no honest runner sends; the message says what."""


def clean(text: str) -> str:
    """The text with NUL and lone surrogates replaced by U+FFFD."""
    if text.isascii() and "\0" not in text:
        return text
    return _UNSTORABLE.sub("\ufffd", text)


def clean_json(value: Any) -> Any:
    """A JSON value with every text in it, keys too, `clean`ed."""
    match value:
        case str():
            return clean(value)
        case list():
            return [clean_json(item) for item in value]
        case dict():
            return {clean(key): clean_json(item) for key, item in value.items()}
    return value


def plain(text: str) -> str:
    """The text with control characters, and what `clean` replaces, as U+FFFD: to be printed."""
    return _CONTROLS.sub("\ufffd", text.replace("\r\n", "\n"))


class Fields:
    """One JSON object's fields, taken out one by one; `finish` refuses what nobody took."""

    def __init__(self, found: Any, name: str) -> None:
        if not isinstance(found, dict):
            raise ProtocolError(f"The runner broke the protocol: {name} is not an object.")
        self._left = dict(found)
        self.name = name

    def __contains__(self, key: str) -> bool:
        return key in self._left

    def peek(self, key: str) -> Any:
        """A field as it came, left in its place; None if it is missing."""
        return self._left.get(key)

    def wrong(self, key: str, words: str) -> ProtocolError:
        return ProtocolError(f'The runner broke the protocol: "{key}" of {self.name} {words}.')

    def names(self) -> list[str]:
        return list(self._left)

    def finish(self) -> None:
        for key in self._left:
            raise self.wrong(clean(key[:MAX_NAME]), "does not belong there")

    def optional(self, key: str, take: Callable[[str], T]) -> T | None:
        if key in self._left and self._left[key] is None:
            del self._left[key]
            return None
        return take(key)

    def text(self, key: str, most: int) -> str:
        found = self._take(key)
        if not isinstance(found, str):
            raise self.wrong(key, "is not text")
        if len(found) > most:
            raise self.wrong(key, f"has more than {most} characters")
        return clean(found)

    def choice(self, key: str, allowed: tuple[str, ...]) -> str:
        found = self.text(key, MAX_NAME)
        if found not in allowed:
            raise self.wrong(key, f"is not one of: {', '.join(allowed)}")
        return found

    def whole(self, key: str, most: int, *, least: int = 0) -> int:
        found = self._take(key)
        if type(found) is not int:
            raise self.wrong(key, "is not an integer")
        if not least <= found <= most:
            raise self.wrong(key, f"is not from {least} to {most}")
        return found

    def real(self, key: str) -> float:
        found = self._take(key)
        if type(found) not in (int, float):
            raise self.wrong(key, "is not a number")
        if not math.isfinite(found):
            raise self.wrong(key, "is not finite")
        return float(found) + 0.0  # -0.0 becomes 0.0

    def array(self, key: str, most: int, *, least: int) -> list[Any]:
        found = self._take(key)
        if not isinstance(found, list):
            raise self.wrong(key, "is not an array")
        if not least <= len(found) <= most:
            raise self.wrong(key, f"does not have {least} to {most} entries")
        return found

    def json(self, key: str) -> dict[str, Any]:
        """An object of any content."""
        found = self._take(key)
        if not isinstance(found, dict):
            raise self.wrong(key, "is not an object")
        return cast(dict[str, Any], clean_json(found))

    def numbers(self, key: str, most: int) -> dict[str, float]:
        """An object of finite numbers by name, at most `most`."""
        inner = self.inner(key)
        names = inner.names()
        if len(names) > most:
            raise self.wrong(key, f"has more than {most} entries")
        if any(len(name) > MAX_NAME for name in names):
            raise self.wrong(key, f"has a name of more than {MAX_NAME} characters")
        return {clean(name): inner.real(name) for name in names}

    def inner(self, key: str) -> "Fields":
        return Fields(self._take(key), f'"{key}" of {self.name}')

    def _take(self, key: str) -> Any:
        try:
            return self._left.pop(key)
        except KeyError:
            raise self.wrong(key, "is missing") from None
