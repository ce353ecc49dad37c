"""The worker's end of one runner: the sandbox it runs in, and frames to and from it."""

import asyncio
import secrets
import threading
from collections import deque
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from graders.errors import EnvironmentFault, PlatformFault
from graders.fields import ProtocolError
from graders.protocol import Inbox
from graders.runner import data
from graders.runner.frames import READ_AHEAD, FrameBuffer, FrameError, encode
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

T = TypeVar("T")

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


class Link:
    """Starts a runner; `next` gives what it sends. Raises PlatformFault if it cannot start.

    It has an event loop, which runs while somebody waits in `next` or `run`, in that thread.
    """

    def __init__(self, sandbox: Sandbox, bundle: Path, limits: Limits, job: str) -> None:
        self._nonce = secrets.token_hex(16)
        self._sent = 0
        self._unsent = bytearray()
        self._ahead = FrameBuffer()
        self._events: deque[object] = deque()
        self._ended = object()
        self._is_waiting = False
        self._is_writing = False
        mounts = (Mount(bundle, "/env"), Mount(RUNNER, "/opt/practicum_runner"))
        try:
            spec = Spec(job=job, argv=ARGV, mounts=mounts, limits=limits, env=ENV)
            self._running: Running = sandbox.start(spec)
        except (SandboxUnavailable, ValueError, OSError) as error:
            raise PlatformFault(f"The sandbox could not be started: {error}") from error
        self._loop = asyncio.new_event_loop()

    def listen(self, reward_range: tuple[float, float]) -> None:
        """Read and check frames from now on."""
        self._inbox = Inbox(self._nonce, reward_range)
        self._loop.add_reader(self._running.source, self._receive)
        self._tick()

    def send(self, kind: str, **keys: Any) -> None:
        """Send a frame, with the next `flush`; a runner that is gone is found out by `next`."""
        try:
            self._unsent += encode({"type": kind, "nonce": self._nonce, "seq": self._sent, **keys})
        except FrameError as error:
            raise EnvironmentFault(f"What it needs cannot be sent to it: {error}.") from error
        self._sent += 1

    def flush(self) -> None:
        """Write what the runner takes now; the loop writes the rest once there is room.

        Waiting for it here could be for ever: a runner that is writing may read nothing.
        """
        try:
            while self._unsent:
                sent = self._running.send_some(self._unsent)
                del self._unsent[:sent]
                if not sent:
                    break
        except SandboxGone:
            self._unsent.clear()  # What it still had to say comes before its end.
        if self._unsent and not self._is_writing:
            self._loop.add_writer(self._running.sink, self.flush)
        elif self._is_writing and not self._unsent:
            self._loop.remove_writer(self._running.sink)
        self._is_writing = bool(self._unsent)

    def next(self) -> object | None:
        """The runner's next message, whatever else was posted, or the Ending of the runner.

        None if nothing came within `TICK_S` seconds. Raises ProtocolError for a bad frame.
        """
        if not self._events:
            self.flush()
            self._wait()
        event = self._events.popleft() if self._events else None
        if isinstance(event, ProtocolError):
            raise event
        return self._end() if event is self._ended else event

    def post(self, event: object) -> None:
        """Put something of the worker's own among the messages, from within the loop."""
        self._events.append(event)
        self._wake()

    def begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Have the loop do something beside."""
        return self._loop.create_task(work)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Have the loop do something, and wait for it."""
        return self._loop.run_until_complete(work)

    @property
    def is_closed(self) -> bool:
        return self._loop.is_closed()

    def kill(self) -> None:
        """End the runner at once."""
        self._running.kill()

    def close(self) -> Ending:
        """Tell the runner to end, and see to it that it does. Safe to repeat."""
        if self.is_closed:
            return self._running.wait()
        self._loop.remove_reader(self._running.source)
        self._loop.remove_writer(self._running.sink)
        self._loop.close()
        with self._deadline():
            self.send("bye")
            with suppress(SandboxGone):
                self._running.send(self._unsent)
            self._running.close_input()
            return self._running.wait()

    def _wait(self) -> None:
        """Run the loop until something is posted, or a tick is over."""
        self._is_waiting = True
        try:
            self._loop.run_forever()
        finally:
            self._is_waiting = False

    def _tick(self) -> None:
        self._wake()
        self._loop.call_later(TICK_S, self._tick)

    def _wake(self) -> None:
        if self._is_waiting:
            self._loop.stop()

    def _receive(self) -> None:
        """Take in what came: messages up to the end, or up to the first bad frame.

        One that the end cut off is none.
        """
        data = self._running.receive_some(READ_AHEAD)
        if data is None:
            return
        try:
            self._ahead.add(data)
            while (frame := self._ahead.take()) is not None:
                self.post(self._inbox.parse(frame))
            if data:
                return
        except FrameError as error:
            self.post(ProtocolError(f"The runner broke the protocol: {error}."))
        except ProtocolError as error:
            self.post(error)
        self._loop.remove_reader(self._running.source)
        self.post(self._ended)

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
