"""The builder: waits for what to do, does it, and sends back what came out."""

import ctypes
import os
import platform
import re
import shutil
import subprocess
import sys
import traceback
import urllib.request
from pathlib import Path
from threading import Thread
from typing import Any, NoReturn

from practicum_runner.wire import Wire

from .compiling import Compiler
from .preparing import Preparer
from .sending import Failed, send, shortened
from .web import Web

UV = "/opt/uv"
WORK = Path("/tmp/build")  # noqa: S108 - the sandbox's own
PR_SET_DUMPABLE = 4
# A sandbox has few threads and files to give, however many cores the machine has.
ENVIRONMENT = {
    "UV_NO_CONFIG": "1",
    "UV_PYTHON_DOWNLOADS": "never",
    "UV_CONCURRENT_DOWNLOADS": "8",
    "UV_CONCURRENT_BUILDS": "1",
    "UV_CONCURRENT_INSTALLS": "2",
    "TOKIO_WORKER_THREADS": "2",
    "RAYON_NUM_THREADS": "2",
    "UV_HTTP_TIMEOUT": "300",
    "NO_COLOR": "1",
    "SOURCE_DATE_EPOCH": "315532800",  # 1980: the first date that a zip can hold
}


def main() -> NoReturn:
    """Run until the worker says `bye` or closes the stream; never returns."""
    # Build scripts run as this very user: they shall not look into this process or its files.
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    wire = Wire.claim()
    while (frame := wire.receive()) is not None:
        match frame["type"]:
            case "start":
                web = Web(wire)
                builder, preparer = Builder(wire, web), Preparer(wire, web)
                compiler = Compiler(wire)
                wire.send("ready", proto=1, python=platform.python_version())
            case "answer" | "part":
                web.deliver(frame)
            case "resolve" | "build":
                Thread(target=builder.carry_out, args=(frame,), daemon=True).start()
            case "prepare":
                Thread(target=preparer.carry_out, args=(frame,), daemon=True).start()
            case "compile":
                Thread(target=compiler.carry_out, args=(frame,), daemon=True).start()
    os._exit(0)


class Builder:
    """Carries out one command at a time; each ends with a frame that says what came of it."""

    def __init__(self, wire: Wire, web: Web) -> None:
        self._wire = wire
        self._web = web
        self._environment = {
            **os.environ,
            **ENVIRONMENT,
            "UV_CACHE_DIR": str(WORK / "cache"),
            "UV_DEFAULT_INDEX": f"{web.url}/simple",
        }

    def carry_out(self, frame: dict[str, Any]) -> None:
        """Do what a frame says. A fault of this program ends it, so that nobody waits for more."""
        try:
            self._resolve(frame) if frame["type"] == "resolve" else self._build(frame)
        except (Failed, OSError) as error:
            self._wire.send("failed", text=shortened(str(error)))
        except BaseException:
            traceback.print_exc()
            os._exit(1)

    def _resolve(self, frame: dict[str, Any]) -> None:
        """Lock the requirements."""
        options = [
            *("--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url"),
            *("--quiet", "--python", "python3", "--python-platform", frame["platform"]),
            *("--exclude-newer", frame["as_of"]),
        ]
        text = "\n".join(frame["requirements"])
        self._wire.send("lock", text=self._uv(["pip", "compile", "-", *options], text))

    def _build(self, frame: dict[str, Any]) -> None:
        """Build a wheel from a source archive, and send it."""
        folder = WORK / "made"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        archive = WORK / frame["filename"]
        url = f"{self._web.url}{frame['path']}"
        with urllib.request.urlopen(url) as source, archive.open("wb") as file:  # noqa: S310
            shutil.copyfileobj(source, file)
        options = ["--wheel", "--python", "python3", "--exclude-newer", frame["as_of"]]
        self._uv(["build", *options, "-o", folder, archive], "")
        made = list(folder.glob("*.whl"))
        if len(made) != 1:
            raise Failed(f"{archive.name} builds {len(made)} wheels instead of one.")
        self._wire.send("wheel", filename=made[0].name, size=made[0].stat().st_size)
        with made[0].open("rb") as file:
            send(self._wire, file)

    def _uv(self, command: list[Any], text: str) -> str:
        WORK.mkdir(exist_ok=True)
        done = subprocess.run(  # noqa: S603 - a fixed program; requirements go in as data
            [UV, *command],
            input=text.encode(),
            capture_output=True,
            env=self._environment,
            cwd=WORK,
            check=False,
        )
        if done.returncode != 0:
            said = self._plain(done.stderr.decode("utf-8", "replace"))
            if done.returncode < 0:
                said = f"{said}\nuv was ended by signal {-done.returncode}."
            raise Failed(said)
        return done.stdout.decode("utf-8", "replace")

    def _plain(self, said: str) -> str:
        """What uv said, without the address and the option that only exist in here."""
        said = re.sub(r" Consider using `exclude-newer[^\n]*", "", said)
        return re.sub(rf"{re.escape(self._web.url)}(/simple)?/?", "the index/", said).strip()


if __name__ == "__main__":
    sys.exit("The builder is started by a worker.")
