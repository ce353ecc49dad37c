"""Words for what went wrong in contributed code, and the errors that need them."""

import errno
import os
import traceback
from collections.abc import Iterator, Sequence

from .frames import MAX_TEXT

MESSAGE_LIMIT = 1500
FRAMES_SHOWN = 12
CHAIN = 50  # errors behind an error that are looked at

OFFLINE = "The sandbox has no network. Declare what it downloads as data: docs/formats/data.md"
# What a try to reach another host ends with; a refusal comes from the sandbox's own loopback.
UNREACHABLE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN)
UNREACHED = {
    *("gaierror", "herror"),  # of the standard library, as no name can be resolved
    *("NameResolutionError", "ClientConnectorDNSError", "ServerNotFoundError"),
    *("OfflineModeIsEnabled", "LocalEntryNotFoundError", "DatasetNotFoundError"),
}
# Where a library looked into its own folders only, or hides what it came of.
WORDS = ("NLTK Downloader", " on the Hub (")
# What Python makes of a StopIteration that would leave a coroutine.
RAISED_STOP = "RuntimeError: coroutine raised StopIteration"


class LoadError(Exception):
    """The environment cannot be used as it is; the message says what to change."""


class BadEnvironment(Exception):
    """Contributed code returned what its format does not allow; the message names it."""


class ModelError(Exception):
    """The worker could not get an answer from the model."""


def describe(error: BaseException, paths: Sequence[str]) -> str:
    """The error's type and message, then the traceback's lines that lie under `paths`.

    Where it comes of a try to reach the network, a line between them says what to do.
    """
    if isinstance(error.__cause__, StopIteration) and _headline(error) == RAISED_STOP:
        error = error.__cause__
    lines = [_headline(error)]
    if any(map(_is_offline, _chain(error))):
        lines.append(OFFLINE)
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


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it came of, each once."""
    left, seen = [error], set[int]()
    while left and len(seen) < CHAIN:
        one = left.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        behind = [one.__cause__, one.__context__]
        inner = one.exceptions if isinstance(one, BaseExceptionGroup) else ()
        left += [found for found in (*behind, *inner) if found is not None]


def _is_offline(error: BaseException) -> bool:
    """Whether an error says that another host could not be reached."""
    if isinstance(error, OSError) and error.errno in UNREACHABLE:
        return True
    names = {one.__name__ for one in type(error).__mro__}
    return bool(names & UNREACHED) or any(word in _headline(error) for word in WORDS)


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
