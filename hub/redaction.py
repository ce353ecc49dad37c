"""What no log shows, whatever put it there: tokens, cookies, passwords, keys, links that let in."""

import logging
import re
from collections.abc import Iterable
from typing import Any, Final

HIDDEN: Final = "[hidden]"
_SHAPES: Final = [
    re.compile(shape, re.IGNORECASE)
    for shape in (
        r"(practicum_)[0-9a-z]{8,}",
        r"(\b(?:bearer|token|basic) +)(?=[!-~]*\d)[!-~]{12,}",
        r"(authorization['\"]?[:=, ]+(?:b?['\"])?(?:\w+ +)?)(?!bearer|token|basic)[!-~]{6,}",
        r"(\b(?:sessionid|csrftoken|csrfmiddlewaretoken)['\"]?[:=, ]+['\"]?)\w{12,}",
        r"(://[^/\s:@]*:)[^/\s@]+(?=@)",
        r"(/password/reset/key/\w+-)(?!set-password)[^/\s]+",
        r"(/confirm-email/)[\w:.-]{8,}",
        r"(\b(?:old)?password[12]?['\"]?[:=, ]+['\"]?)[^\s'\",&}]+",
    )
]


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` without these secrets, and without whatever has the shape of one."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, HIDDEN)
    for shape in _SHAPES:
        text = shape.sub(rf"\g<1>{HIDDEN}", text)
    return text


class Formatter(logging.Formatter):
    """Lines and their tracebacks, redacted. `secrets` are values that may never appear."""

    def __init__(self, *args: Any, secrets: Iterable[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._secrets = tuple(secrets)

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record), self._secrets)
