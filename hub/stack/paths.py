"""Where everything lies. Standard library only: the settings import it."""

import hashlib
import os
import stat
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

from hub.stack.errors import StackError

REPOSITORY = Path(__file__).resolve().parents[2]
SOCKET_PATH_LIMIT = 107  # sun_path of unix(7) holds 108 bytes, the last of them a zero
LONGEST_SOCKET_NAME = ".s.PGSQL.5432"


@dataclass(frozen=True)
class Paths:
    """The data folder and what is in it."""

    data: Path

    @classmethod
    def from_env(cls) -> Self:
        """`PRACTICUM_DATA`, or `var/` in the checkout; always absolute."""
        chosen = os.environ.get("PRACTICUM_DATA") or REPOSITORY / "var"
        return cls(Path(chosen).expanduser().absolute())

    @cached_property
    def run(self) -> Path:
        """The folder of the sockets.

        In a data folder too deep for a socket's address it is a private folder of the same
        user under the system's temporary one, named after the data folder.
        """
        inside = self.data / "run"
        if len(os.fsencode(inside / LONGEST_SOCKET_NAME)) <= SOCKET_PATH_LIMIT:
            return inside
        digest = hashlib.sha256(os.fsencode(self.data)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"practicum-{os.getuid()}-{digest}"

    @property
    def postgres(self) -> Path:
        return self.data / "postgres"

    @property
    def valkey(self) -> Path:
        return self.data / "valkey"

    @property
    def media(self) -> Path:
        return self.data / "media"

    @property
    def logs(self) -> Path:
        return self.data / "logs"

    @property
    def sandbox(self) -> Path:
        return self.data / "sandbox"

    @property
    def work(self) -> Path:
        return self.data / "work"

    @property
    def postgres_socket_dir(self) -> str:
        return str(self.run)

    @property
    def valkey_socket(self) -> Path:
        return self.run / "valkey.sock"

    @property
    def model_socket(self) -> Path:
        return self.run / "model.sock"

    def make(self) -> None:
        """Makes the folders; new ones are their owner's alone.

        PostgreSQL's own folder is not among them: it appears whole, when it has been set up.

        Raises:
            StackError: a folder cannot be made, or the sockets' folder belongs to someone else.
        """
        folders = (self.valkey, self.media, self.logs, self.sandbox, self.work)
        try:
            for folder in (self.data, self.run, *folders):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._make_private()
        except OSError as error:
            raise StackError(
                f"The data folder {self.data} cannot be used ({error.strerror}: {error.filename}): "
                "set PRACTICUM_DATA to a folder that you can write to."
            ) from error

    def _make_private(self) -> None:
        # PostgreSQL trusts whoever reaches its socket, so nobody else may.
        found = self.run.lstat()
        too_long = len(os.fsencode(self.run / LONGEST_SOCKET_NAME)) > SOCKET_PATH_LIMIT
        if too_long or not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise StackError(
                f"{self.run} cannot hold the stack's sockets (too long, or not a folder of yours): "
                "set PRACTICUM_DATA to a shorter path."
            )
        self.run.chmod(0o700)
