"""Words for what went wrong in contributed code, and the errors that need them."""

import os
import traceback
from collections.abc import Sequence

from .frames import MAX_TEXT

MESSAGE_LIMIT = 1500
FRAMES_SHOWN = 12


class LoadError(Exception):
    """The environment cannot be used as it is; the message says what to change."""


class BadEnvironment(Exception):
    """Contributed code returned what its format does not allow; the message names it."""


class ModelError(Exception):
    """The worker could not get an answer from the model."""


def describe(error: BaseException, paths: Sequence[str]) -> str:
    """The error's type and message, then the traceback's lines that lie under `paths`."""
    lines = [_headline(error)]
    if not isinstance(error, LoadError | BadEnvironment):
        lines += _places(error, paths)
    return "\n".join(lines)[:MAX_TEXT]


def shown(value: object) -> str:
    """A value for a message: its repr, cut, whatever that repr does."""
    try:
        text = repr(value)
    except Exception as error:
        return f"<{type(value).__name__} whose repr raised {type(error).__name__}>"
    return text if len(text) <= 200 else f"{text[:200]}..."


def _headline(error: BaseException) -> str:
    try:
        message = str(error)[:MESSAGE_LIMIT]
    except Exception as inner:
        message = f"<its message raised {type(inner).__name__}>"
    if isinstance(error, LoadError | BadEnvironment):
        return message
    name = type(error).__name__
    return f"{name}: {message}" if message else name


def _places(error: BaseException, paths: Sequence[str]) -> list[str]:
    found = []
    for frame in traceback.extract_tb(error.__traceback__):
        root = next((path for path in paths if _under(frame.filename, path)), None)
        if root is not None:
            name = os.path.relpath(frame.filename, root)
            found.append(f"  {name}, line {frame.lineno}, in {frame.name}: {frame.line}")
    return found[-FRAMES_SHOWN:]


def _under(filename: str, folder: str) -> bool:
    return filename.startswith(folder.rstrip("/") + "/")
