"""The body of an upload, on its way to the folder for temporary files."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from django.http import HttpRequest

from hub.errors import Problem, Refused

DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextmanager
def arriving(request: HttpRequest) -> Iterator[None]:
    """The body is read inside. If that fails in whatever way, no part of a file stays behind.

    Raises Refused (507) if the disk is full.
    """
    try:
        yield
    except BaseException as error:
        # Django forgets them to the garbage collector, whose turn may come much later.
        for handler in request.upload_handlers:
            if (file := getattr(handler, "file", None)) is not None:
                with suppress(OSError):
                    file.close()
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            problem = Problem("archive", "The hub's disk is full. Nothing was kept; try later.")
            raise Refused("The archive could not be stored", [problem], 507) from error
        raise
