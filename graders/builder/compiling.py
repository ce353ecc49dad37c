"""The bytecode of what importing an environment needs, made here so that no start has to."""

import base64
import os
import time
import traceback
import warnings
from typing import Any

from practicum_runner.formats import ADAPTERS
from practicum_runner.wire import Wire

from .following import Follower

TOP = "/env/"


class Compiler:
    """Carries out one compilation; what cannot be compiled, or is too much, is left out."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def carry_out(self, frame: dict[str, Any]) -> None:
        """Do what a frame says. A fault of this program ends it, so that nobody waits for more."""
        try:
            self._compile(frame)
            self._wire.send("compiled")
        except BaseException:
            traceback.print_exc()
            os._exit(1)

    def _compile(self, frame: dict[str, Any]) -> None:
        warnings.simplefilter("ignore")  # a source's own are told where it is imported
        end = time.monotonic() + frame["seconds"]
        follower = Follower(frame["paths"])
        for name in (*frame["modules"], *_of_adapters()):
            follower.want(name)
        for path, content in follower.sources():
            if len(content) <= frame["longest"]:
                data = base64.b64encode(content).decode()
                self._wire.send("bytecode", path=path.removeprefix(TOP), data=data)
            if time.monotonic() > end:
                return


def _of_adapters() -> list[str]:
    """What the runner itself may import of an environment's libraries."""
    return ["numpy.random", *(name for one in ADAPTERS.values() for name in one.imports)]
