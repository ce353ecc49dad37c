"""One build sandbox, driven: requirements go in, a lock and built wheels come out.

The sandbox has no network. What its builder asks of the package index goes through the relay.
Code that a build runs can forge what its own build says, and no more: the worker takes every frame
for an attacker's, checks each file by a digest of its own, and gives it to this version alone.
"""

import base64
import binascii
import hashlib
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import uv

from graders import runner as runner_package
from graders.bundling import picking, toolchain
from graders.bundling.index import TooMuch
from graders.bundling.limits import MIB, BuildLimits
from graders.bundling.relay import Relay
from graders.errors import EnvironmentFault, GraderError, PlatformFault
from graders.fields import Fields, ProtocolError, plain
from graders.runner.frames import (
    MAX_NAME,
    MAX_TEXT,
    Frame,
    FrameCut,
    FrameError,
    FrameReader,
    encode,
)
from graders.sandbox.base import (
    Ending,
    EndReason,
    Limits,
    Mount,
    Sandbox,
    SandboxGone,
    SandboxUnavailable,
    Spec,
)

BUILDER = Path(__file__).parents[1] / "builder"
RUNNER = Path(runner_package.__file__).parent
ARGV = (
    *("python3", "-s", "-P", "-B", "-u", "-c"),
    "import sys; sys.path.insert(0, '/opt'); from practicum_builder.main import main; main()",
)
PIDS = 256
FETCHES = 8  # at once
CHECK_S = 0.5
MAX_PATH = 1000
MAX_LOCK = 4 << 20  # characters
PIECE = 1 << 20  # bytes of a wheel in one frame
SMALL_TALK_MB = 64  # what a build says beside its wheels, which are longer in base64


@dataclass(frozen=True)
class Built:
    """A wheel that came out of the sandbox."""

    filename: str
    sha256: str
    content: bytes


class BuildFailed(EnvironmentFault):
    """A source archive did not build."""


class BuildSession:
    """A context manager around one builder.

    Raises EnvironmentFault for what the requirements or a build are to blame for, PlatformFault
    where the index or the sandbox failed, and whatever `check` raises: it is called twice a
    second, and ends the build at once.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        relay: Relay,
        limits: BuildLimits,
        *,
        as_of: datetime,
        job: str,
        compiler: Mount | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._relay = relay
        self._compiler = compiler
        self._limits = limits
        self._as_of = as_of.isoformat()
        self._nonce = secrets.token_hex(16)
        self._sent = self._received = 0
        self._send_lock = threading.Lock()
        self._built = 0  # bytes
        self._fetches = 0
        self._is_ready = False
        self._check = check
        self._over = threading.Event()
        self._trouble: Exception | None = None
        self._pool = ThreadPoolExecutor(FETCHES, "relay")
        try:
            self._running = sandbox.start(self._spec(job))
        except (SandboxUnavailable, ValueError, OSError) as error:
            raise PlatformFault(f"The build sandbox could not be started: {error}") from error
        self._reader = FrameReader(self._running.receive)

    def __enter__(self) -> Self:
        threading.Thread(target=self._watch, daemon=True).start()
        try:
            self._send("start", proto=1)
            self._next({"ready": _ready})
            self._is_ready = True
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def resolve(self, requirements: list[str]) -> str:
        """The requirements, locked: `name==version --hash=...` lines."""
        platform = f"{picking.machine()}-manylinux_2_{picking.GLIBC}"
        self._send("resolve", requirements=requirements, platform=platform, as_of=self._as_of)
        text: str = self._next({"lock": lambda fields: fields.text("text", MAX_LOCK)})
        return text

    def build(self, path: str, filename: str) -> Built:
        """Build the wheel of a source archive, which the relay has at `path`."""
        self._send("build", path=path, filename=filename, as_of=self._as_of)
        name, size = self._next({"wheel": self._wheel_head})
        digest, parts, missing = hashlib.sha256(), [], size
        while missing:
            part: bytes = self._next({"piece": _piece})
            if not part or len(part) > missing:
                raise ProtocolError("The builder sent a wheel of another size than it said.")
            digest.update(part)
            parts.append(part)
            missing -= len(part)
        return Built(name, digest.hexdigest(), b"".join(parts))

    def _end(self) -> None:
        self._over.set()
        self._running.kill()
        self._running.wait()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _wheel_head(self, fields: Fields) -> tuple[str, int]:
        name, size = fields.text("filename", 2 * MAX_NAME), fields.whole("size", 1 << 40)
        self._built += size
        if self._built > self._limits.built_mb * MIB:
            raise EnvironmentFault(
                f"The wheels built from source archives have over {self._limits.built_mb} MiB. "
                "Depend on releases that have wheels."
            )
        return name, size

    def _spec(self, job: str) -> Spec:
        limits = self._limits
        mounts = (
            Mount(RUNNER, "/opt/practicum_runner"),
            Mount(BUILDER, "/opt/practicum_builder"),
            Mount(Path(uv.find_uv_bin()).resolve(), "/opt/uv"),
            *([self._compiler] if self._compiler else []),
        )
        bounds = Limits(
            memory_mb=limits.memory_mb,
            pids=PIDS,
            seconds=limits.seconds,
            tmp_mb=limits.tmp_mb,
            output_mb=SMALL_TALK_MB + 2 * limits.built_mb,
        )
        env = toolchain.environment() if self._compiler else {}
        return Spec(job=job, argv=ARGV, mounts=mounts, limits=bounds, env=env)

    def _next(self, wanted: dict[str, Callable[[Fields], Any]]) -> Any:
        """The next frame that is no question to the index, read by its parser."""
        while True:
            fields, kind = self._frame()
            if kind == "fetch":
                number, path = fields.whole("rid", 10**9), fields.text("path", MAX_PATH)
                fields.finish()
                self._count_fetch()
                self._pool.submit(self._answer, number, path)
            elif kind == "failed":
                raise self._failure(fields.text("text", MAX_TEXT))
            elif kind in wanted:
                found = wanted[kind](fields)
                fields.finish()
                return found
            else:
                raise ProtocolError(f"The builder sent a {kind!a} frame out of turn.")

    def _count_fetch(self) -> None:
        self._fetches += 1
        if self._fetches > self._limits.requests:
            raise TooMuch.requests(self._limits.requests)

    def _frame(self) -> tuple[Fields, str]:
        try:
            frame = self._reader.read()
        except FrameCut as error:
            raise self._death(self._running.wait()) from error
        except FrameError as error:
            raise self._trouble or ProtocolError(
                f"The builder broke the protocol: {error}."
            ) from error
        if frame is None:
            raise self._death(self._running.wait())
        return self._checked(frame)

    def _checked(self, frame: Frame) -> tuple[Fields, str]:
        fields = Fields(frame, "the builder's frame")
        kind = fields.text("type", MAX_NAME)
        if fields.text("nonce", MAX_NAME) != self._nonce:
            raise fields.wrong("nonce", "is not this build's")
        if fields.whole("seq", 2**31) != self._received:
            raise fields.wrong("seq", f"is not {self._received}")
        self._received += 1
        return fields, kind

    def _answer(self, number: int, path: str) -> None:
        """Answer one question of the builder's; whatever goes wrong ends the build."""
        try:
            answer = self._relay.get(path)
            self._send(
                "answer",
                rid=number,
                status=int(answer.status),
                media=answer.kind,
                length=answer.length,
            )
            for chunk in answer.body:
                if self._over.is_set():
                    return
                self._send("part", rid=number, data=base64.b64encode(chunk).decode())
            self._send("part", rid=number, data=None)
        except GraderError as error:
            self._give_up(error)
        except Exception as error:
            self._give_up(PlatformFault(f"The relay to the package index failed: {error!r}"))

    def _watch(self) -> None:
        while not self._over.wait(CHECK_S):
            try:
                self._check()
            except Exception as error:
                self._give_up(error)
                return

    def _give_up(self, error: Exception) -> None:
        self._trouble = self._trouble or error
        self._running.kill()

    def _send(self, kind: str, **keys: Any) -> None:
        with self._send_lock:
            frame = {"type": kind, "nonce": self._nonce, "seq": self._sent, **keys}
            self._sent += 1
            try:
                self._running.send(encode(frame))
            except SandboxGone:
                return  # its end is found by whoever reads
            except FrameError as error:
                raise EnvironmentFault(f"The requirements cannot be sent: {error}.") from error

    def _failure(self, said: str) -> Exception:
        """Why the builder says that it failed."""
        self._running.kill()
        ending = self._running.wait()
        if self._trouble is not None or ending.reason is EndReason.OUT_OF_MEMORY:
            return self._death(ending)
        fault = BuildFailed if "build backend returned an error" in said else EnvironmentFault
        return fault(f"The dependencies cannot be installed.\n{plain(said)}")

    def _death(self, ending: Ending) -> Exception:
        if self._trouble is not None:
            return self._trouble
        limits = self._limits
        spent = {
            EndReason.TIMEOUT: f"took more than {limits.seconds:g} s: pin versions, or depend on "
            "releases that have wheels",
            EndReason.OUT_OF_MEMORY: f"took more than {limits.memory_mb} MiB of memory, its "
            "temporary files counted: depend on releases that have wheels",
            EndReason.OUTPUT_LIMIT: "wrote too much output",
        }
        if ending.reason in spent:
            return EnvironmentFault(f"Building the dependencies {spent[ending.reason]}.")
        if ending.reason is EndReason.KILLED:
            return PlatformFault("The build was stopped.")
        said = plain(ending.stderr.strip()[-1000:])
        if ending.reason is EndReason.EXITED and self._is_ready:
            return EnvironmentFault(
                f"The build ended before it was done (exit code {ending.exit_code}): a dependency "
                f"may not end the processes it is built by. {said}".strip()
            )
        return PlatformFault(f"The build sandbox failed ({ending.reason}). {said}".strip())


def _ready(fields: Fields) -> None:
    fields.whole("proto", 1, least=1)
    fields.text("python", MAX_NAME)


def _piece(fields: Fields) -> bytes:
    try:
        return base64.b64decode(fields.text("data", 2 * PIECE), validate=True)
    except (ValueError, binascii.Error) as error:
        raise ProtocolError("The builder sent a wheel that is not base64.") from error
