"""The worker's end of one runner: the sandbox it runs in, and frames to and from it."""

import queue
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from graders.errors import EnvironmentFault, PlatformFault
from graders.fields import ProtocolError
from graders.protocol import Inbox, Incoming
from graders.runner import data
from graders.runner.frames import FrameCut, FrameError, FrameReader, encode
from graders.sandbox.base import (
    Ending,
    Limits,
    Mount,
    Running,
    Sandbox,
    SandboxGone,
    SandboxUnavailable,
    Spec,
)

RUNNER = Path(__file__).parent / "runner"
# Isolated as -I is, but for PYTHONHASHSEED: with random hashes, sets of text would come in another
# order in each run. The sandbox's environment holds only what the worker put there.
PYTHON = ("python3", "-s", "-P", "-B", "-u")
ARGV = (
    *(*PYTHON, "-c"),
    "import sys; sys.path.insert(0, '/opt'); from practicum_runner.main import main; main()",
)
ENV = {"PYTHONHASHSEED": "0", **data.ENV}

CLOSE_S = 5.0  # for a runner that was told to end
TICK_S = 0.5
HELD_EVENTS = 256  # checked messages that wait for the session; more make the runner wait


class Link:
    """Starts a runner; `next` gives what it sends. Raises PlatformFault if it cannot start."""

    def __init__(self, sandbox: Sandbox, bundle: Path, limits: Limits, job: str) -> None:
        self._nonce = secrets.token_hex(16)
        self._sent = 0
        self._events: queue.Queue[object] = queue.Queue(HELD_EVENTS)
        self._ended = object()
        self._closing = threading.Event()
        mounts = (Mount(bundle, "/env"), Mount(RUNNER, "/opt/practicum_runner"))
        try:
            spec = Spec(job=job, argv=ARGV, mounts=mounts, limits=limits, env=ENV)
            self._running: Running = sandbox.start(spec)
        except (SandboxUnavailable, ValueError, OSError) as error:
            raise PlatformFault(f"The sandbox could not be started: {error}") from error

    def listen(self, reward_range: tuple[float, float]) -> None:
        """Start the thread that reads and checks frames."""
        inbox = Inbox(self._nonce, reward_range)
        threading.Thread(target=self._listen, args=(inbox,), daemon=True).start()

    def send(self, kind: str, **keys: Any) -> None:
        """Send a frame; a runner that is gone is found out by `next`."""
        try:
            data = encode({"type": kind, "nonce": self._nonce, "seq": self._sent, **keys})
        except FrameError as error:
            raise EnvironmentFault(f"What it needs cannot be sent to it: {error}.") from error
        self._sent += 1
        try:
            self._running.send(data)
        except SandboxGone:
            return  # What it still had to say comes before its end.

    def next(self) -> object | None:
        """The runner's next message, whatever else was posted, or the Ending of the runner.

        None if nothing came within `TICK_S` seconds. Raises ProtocolError for a bad frame.
        """
        try:
            event = self._events.get(timeout=TICK_S)
        except queue.Empty:
            return None
        if isinstance(event, ProtocolError):
            raise event
        return self._end() if event is self._ended else event

    def post(self, event: object) -> None:
        """Put something of the worker's own among the messages; any thread may."""
        while not self._closing.is_set():
            try:
                return self._events.put(event, timeout=TICK_S)
            except queue.Full:
                continue

    def kill(self) -> None:
        """End the runner at once."""
        self._running.kill()

    def close(self) -> Ending:
        """Tell the runner to end, and see to it that it does. Safe to repeat."""
        self._closing.set()
        with self._deadline():
            self.send("bye")
            self._running.close_input()
            return self._running.wait()

    def _listen(self, inbox: Inbox) -> None:
        for event in self._incoming(inbox):
            self.post(event)
        self.post(self._ended)

    def _incoming(self, inbox: Inbox) -> Iterator[Incoming | ProtocolError]:
        """Checked messages up to the end, or up to the first bad frame."""
        reader = FrameReader(self._running.receive)
        try:
            while (frame := reader.read()) is not None:
                yield inbox.parse(frame)
        except FrameCut:
            return
        except FrameError as error:
            yield ProtocolError(f"The runner broke the protocol: {error}.")
        except ProtocolError as error:
            yield error

    def _end(self) -> Ending:
        with self._deadline():
            return self._running.wait()

    @contextmanager
    def _deadline(self) -> Iterator[None]:
        """Kill the runner if what is inside takes more than `CLOSE_S` seconds."""
        killer = threading.Timer(CLOSE_S, self._running.kill)
        killer.start()
        try:
            yield
        finally:
            killer.cancel()
