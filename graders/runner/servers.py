"""A contributed web app, served on loopback: one process for each server that is asked for.

Importing such an app takes seconds and much memory, and what it keeps (global random state, module
variables, a limit of one session) is shared by all who talk to it. So a keeper process (keeper.py)
imports it once and forks a server, on a port of its own, for every rollout: each begins from the
same state, has random states of its own, shares the keeper's memory until it writes to it, and can
be ended whatever it is at. The runner itself imports nothing of the app.
"""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .faults import BadEnvironment, LoadError

HOST = "127.0.0.1"
MODULES = "/.modules"  # where a server says what it has imported
# The runner's own flags: contributed code is found where it was told to look, and nowhere else.
FLAGS = ("-s", "-P", "-B", "-u")
CODE = "import json, sys; sys.path[:] = json.loads(sys.argv[3]); from {}.keeper import main; main()"

# What a tool raises is told to the model; FastMCP would draw it for a terminal as well, in 150 ms.
QUIET = {"FASTMCP_ENABLE_RICH_TRACEBACKS": "false"}
ENDED = "The process that serves the environment ended by itself."

_decode = json.JSONDecoder().decode


@dataclass(frozen=True)
class Server:
    """Where a server answers, and the process that it is."""

    port: int
    pid: int


class Servers:
    """Starts and ends servers of the app "package.module:name"; any thread may.

    All end with this process. Raises LoadError, with the place, if the app cannot be imported.
    """

    def __init__(self, app: str) -> None:
        ours, theirs = socket.socketpair()
        handed = str(theirs.fileno()), app, json.dumps(sys.path)
        with theirs:
            self._keeper = subprocess.Popen(  # noqa: S603
                [sys.executable, *FLAGS, "-c", CODE.format(__package__), *handed],
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr,
                pass_fds=[theirs.fileno()],
                env={**QUIET, **os.environ},
            )
        self._link = ours.makefile("rw", encoding="utf-8")
        ours.close()
        self._lock = threading.Lock()
        self._told()

    def start(self, task: int, seed: int) -> Server:
        """A new server. The random states of its first answer depend on `task`, then on `seed`."""
        return Server(**self._ask(start=[task, seed]))

    def stop(self, server: Server) -> None:
        """End a server and what it started."""
        self._ask(stop=server.pid)

    def warm(self, modules: Sequence[str]) -> None:
        """Import what a server had to import itself, for those that are started from now on."""
        self._ask(warm=modules)

    def close(self) -> None:
        """End the keeper and all servers. Safe to repeat."""
        self._link.close()
        self._keeper.wait()

    def _ask(self, **request: Any) -> dict[str, int]:
        with self._lock:
            try:
                self._link.write(f"{json.dumps(request)}\n")
                self._link.flush()
            except OSError as error:
                raise BadEnvironment(ENDED) from error
            return self._told()

    def _told(self) -> dict[str, int]:
        line = self._link.readline()
        if not line:
            raise BadEnvironment(ENDED)
        told: dict[str, Any] = _decode(line)
        if "error" in told:
            raise LoadError(told["error"])
        return told
