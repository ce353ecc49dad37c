"""One builder in its sandbox, driven over frames: what building and preparing have in common.

The sandbox has no network: what its inside asks for goes through a relay. The worker takes every
frame for an attacker's, whatever the builder was when it started.
"""

import base64
import binascii
import secrets
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, Self

from graders import runner as runner_package
from graders.bundling.index import TooMuch
from graders.bundling.limits import BuildLimits
from graders.bundling.relay import Answer
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

RUNNER = Path(runner_package.__file__).parent
BUILDER = Path(__file__).parents[1] / "builder"
ARGV = (
    *("python3", "-s", "-P", "-B", "-u", "-c"),
    "import sys; sys.path.insert(0, '/opt'); from practicum_builder.main import main; main()",
)
PIDS = 256
FETCHES = 8  # at once
CHECK_S = 0.5
PIECE = 1 << 20  # bytes of a file in one frame
SMALL_TALK_MB = 64  # what a builder says beside its files, which are longer in base64


class Driven(ABC):
    """A context manager around one builder.

    Raises EnvironmentFault for what the version is to blame for, PlatformFault where a host or the
    sandbox failed, and whatever `check` raises: it is called twice a second, and ends it at once.
    """

    work: ClassVar[str]  # what it does, the subject of a sentence
    advice: ClassVar[str]  # what to do where that takes too much
    longest_path: ClassVar[int]  # that it may ask the relay for, in characters
    told: ClassVar[tuple[str, ...]] = ()  # what a question tells beside its path, as text

    def __init__(
        self, sandbox: Sandbox, limits: BuildLimits, job: str, check: Callable[[], None]
    ) -> None:
        self._limits = limits
        self._check = check
        self._nonce = secrets.token_hex(16)
        self._sent = self._received = 0
        self._send_lock = threading.Lock()
        self._fetches = 0
        self._is_ready = False
        self._over = threading.Event()
        self._trouble: Exception | None = None
        self._pool = ThreadPoolExecutor(FETCHES, "relay")
        try:
            self._running = sandbox.start(self._spec(job))
        except (SandboxUnavailable, ValueError, OSError) as error:
            raise PlatformFault(f"The build sandbox could not be started: {error}") from error
        self._reader = FrameReader(self._running.receive)

    @abstractmethod
    def _spec(self, job: str) -> Spec:
        """The sandbox's terms. Raises ValueError where they cannot be met."""

    @abstractmethod
    def _get(self, path: str, asked: Mapping[str, str]) -> Answer:
        """What the relay answers to a path; `asked` has what a question told beside it."""

    @abstractmethod
    def _blame(self, said: str) -> EnvironmentFault:
        """The fault for a failure that the builder tells of."""

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

    def _end(self) -> None:
        self._over.set()
        self._running.kill()
        self._running.wait()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _next(self, wanted: dict[str, Callable[[Fields], Any]]) -> Any:
        """The next frame that is no question to the relay, read by its parser."""
        while True:
            fields, kind = self._frame()
            if kind == "fetch":
                number, path = fields.whole("rid", 10**9), fields.text("path", self.longest_path)
                asked = {name: fields.text(name, MAX_NAME) for name in self.told}
                fields.finish()
                self._count_fetch()
                self._pool.submit(self._answer, number, path, asked)
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
            raise TooMuch(f"{self.work} took over {self._limits.requests} requests: {self.advice}.")

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

    def _answer(self, number: int, path: str, asked: Mapping[str, str]) -> None:
        """Answer one question of the builder's; whatever goes wrong ends the build."""
        try:
            answer = self._get(path, asked)
            self._send(
                "answer",
                rid=number,
                status=int(answer.status),
                headers={"Content-Type": answer.kind, **answer.headers},
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
            self._give_up(PlatformFault(f"The relay of a build failed: {error!r}"))

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
                raise EnvironmentFault(f"The {kind} frame cannot be sent: {error}.") from error

    def _failure(self, said: str) -> Exception:
        """Why the builder says that it failed."""
        self._running.kill()
        ending = self._running.wait()
        if self._trouble is not None or ending.reason is EndReason.OUT_OF_MEMORY:
            return self._death(ending)
        return self._blame(plain(said))

    def _death(self, ending: Ending) -> Exception:
        if self._trouble is not None:
            return self._trouble
        limits = self._limits
        spent = {
            EndReason.TIMEOUT: f"took more than {limits.seconds:g} s: {self.advice}",
            EndReason.OUT_OF_MEMORY: f"took more than {limits.memory_mb} MiB of memory, its "
            f"temporary files counted: {self.advice}",
            EndReason.OUTPUT_LIMIT: "wrote too much output",
        }
        if ending.reason in spent:
            return EnvironmentFault(f"{self.work} {spent[ending.reason]}.")
        if ending.reason is EndReason.KILLED:
            return PlatformFault("The build was stopped.")
        said = plain(ending.stderr.strip()[-1000:])
        if ending.reason is EndReason.EXITED and self._is_ready:
            return EnvironmentFault(
                f"The build ended before it was done (exit code {ending.exit_code}): what it runs "
                f"may not end the processes it is run by. {said}".strip()
            )
        return PlatformFault(f"The build sandbox failed ({ending.reason}). {said}".strip())


def spec(
    job: str,
    limits: BuildLimits,
    *mounts: Mount,
    sends_mb: int,
    env: Mapping[str, str] | None = None,
) -> Spec:
    """A builder's terms: with `mounts` beside it, and files of so many MiB that it may send."""
    # The runner's package is there because the builder uses it.
    own = (Mount(RUNNER, "/opt/practicum_runner"), Mount(BUILDER, "/opt/practicum_builder"))
    bounds = Limits(
        memory_mb=limits.memory_mb,
        pids=PIDS,
        seconds=limits.seconds,
        tmp_mb=limits.tmp_mb,
        output_mb=SMALL_TALK_MB + 2 * sends_mb,
    )
    return Spec(job=job, argv=ARGV, mounts=(*own, *mounts), limits=bounds, env=env or {})


def piece(fields: Fields) -> bytes:
    """The bytes of a `piece` frame."""
    try:
        return base64.b64decode(fields.text("data", 2 * PIECE), validate=True)
    except (ValueError, binascii.Error) as error:
        raise ProtocolError("The builder sent a file that is not base64.") from error


def _ready(fields: Fields) -> None:
    fields.whole("proto", 1, least=1)
    fields.text("python", MAX_NAME)
