"""The data step: calls what the version names, and sends the files that it left."""

import json
import os
import stat
import subprocess
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from practicum_runner.data import DATA, overlay
from practicum_runner.wire import Wire

from .sending import Failed, send, shortened
from .web import Web

LEFT = Path("/tmp/data")  # noqa: S108 - the sandbox's own
ARGV = (
    *("python3", "-s", "-P", "-B", "-u", "-c"),
    "import sys; sys.path.insert(0, '/opt'); from practicum_builder.calling import main; main()",
)


class Preparer:
    """Carries out one data step; it ends with a frame that says what came of it."""

    def __init__(self, wire: Wire, web: Web) -> None:
        self._wire = wire
        self._web = web

    def carry_out(self, frame: dict[str, Any]) -> None:
        """Do what a frame says. A fault of this program ends it, so that nobody waits for more."""
        self._web.is_index = False
        try:
            LEFT.mkdir()
            overlay(Path(DATA), LEFT)
            self._call(frame)
            self._send_all()
            self._wire.send("prepared")
        except (Failed, OSError) as error:
            self._wire.send("failed", text=shortened(str(error)))
        except BaseException:
            traceback.print_exc()
            os._exit(1)

    def _call(self, frame: dict[str, Any]) -> None:
        told = json.dumps({key: frame[key] for key in ("entry", "args", "paths")})
        done = subprocess.run(  # noqa: S603 - a fixed program, which is told what to call
            [*ARGV, told],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **self._environment(frame["hub"])},
            cwd="/tmp",  # noqa: S108
            check=False,
        )
        if done.returncode != 0:
            said = done.stdout.decode("utf-8", "replace")
            for url in (self._web.url, self._web.other_url):
                said = said.replace(f"{url}/", "the relay/")
            raise Failed(said.strip() or f"It ended with code {done.returncode}.")

    def _environment(self, hub: str) -> dict[str, str]:
        return {
            "PYTHONHASHSEED": "0",
            "PRACTICUM_DATA": str(LEFT),
            "NLTK_DATA": str(LEFT / "nltk_data"),
            "HF_HOME": str(LEFT / "hf"),
            "HF_ENDPOINT": f"{self._web.url}{hub}",
            "HF_HUB_DISABLE_XET": "1",  # which speaks to hosts by itself
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }

    def _send_all(self) -> None:
        sent: dict[tuple[int, int], str] = {}
        for name, file in _left():
            with file:
                status = os.fstat(file.fileno())
                same = sent.setdefault((status.st_dev, status.st_ino), name)
                link = None if same == name else same
                self._wire.send("file", path=name, size=status.st_size, same=link)
                if link is None:
                    send(self._wire, file)


def _left() -> Iterator[tuple[str, BinaryIO]]:
    """The files that were left, opened; links are followed, as whoever reads the data would."""
    for folder, folders, files in os.walk(LEFT):
        folders.sort()
        links = [name for name in folders if Path(folder, name).is_symlink()]
        for name in sorted([*files, *links]):
            path = Path(folder, name)
            if os.path.realpath(path).startswith(f"{DATA}/"):
                continue  # it was declared
            shown = str(path.relative_to(LEFT))
            file = _opened(path, shown)
            if name.endswith(".lock") and os.fstat(file.fileno()).st_size == 0:
                file.close()  # of whoever wrote there: readers make their own
                continue
            yield shown, file


def _opened(path: Path, shown: str) -> BinaryIO:
    try:
        shown.encode()
        # A pipe that nobody writes to would never open.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except (OSError, UnicodeEncodeError) as error:
        raise Failed(f"It left {shown!a}, which cannot be read: {error}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Failed(f"It left {shown!a}, which is neither a file nor a folder of files.")
    return os.fdopen(descriptor, "rb")
