"""A `Sandbox` without walls, for code of our own: plain subprocesses, so that tests are fast."""

import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from graders.sandbox.base import (
    Ending,
    EndReason,
    Limits,
    Running,
    Sandbox,
    SandboxGone,
    Shortfall,
    Spec,
)

# Outside the virtual environment: as in a sandbox, nothing is installed but what a bundle brings.
INTERPRETER = str(Path(sys.executable).resolve())


class LocalRunning(Running):
    """One subprocess, killed when its time is over."""

    def __init__(self, argv: list[str], limits: Limits, env: dict[str, str]) -> None:
        self._began = time.monotonic()
        self._reason = EndReason.EXITED
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            bufsize=0,
            env=env,
        )
        self._ending: Ending | None = None
        self.sink, self.source = self._process.stdin.fileno(), self._process.stdout.fileno()
        for descriptor in (self.sink, self.source):
            os.set_blocking(descriptor, False)
        self._timer = threading.Timer(limits.seconds, self._stop, [EndReason.TIMEOUT])
        self._timer.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def send_some(self, data: bytes | bytearray | memoryview) -> int:
        try:
            return self._process.stdin.write(data) or 0
        except (OSError, ValueError) as error:
            raise SandboxGone from error

    def close_input(self) -> None:
        self._process.stdin.close()

    def receive_some(self, n: int = 65536) -> bytes | None:
        return self._process.stdout.read(n)

    def kill(self) -> None:
        self._stop(EndReason.KILLED)

    def wait(self) -> Ending:
        while self.receive():
            pass
        code = self._process.wait()
        self._timer.cancel()
        if self._ending is None:
            self._stderr.seek(0)
            text = self._stderr.read()[-65536:].decode("utf-8", "replace")
            seconds = time.monotonic() - self._began
            self._ending = Ending(self._reason, code, seconds, None, text)
            self._stderr.close()
        return self._ending

    def _stop(self, reason: EndReason) -> None:
        if self._process.poll() is None:
            self._reason = reason
            self._process.kill()


class Local(Sandbox):
    """Runs the runner from its source folder; `/opt` is a scratch folder that links to it."""

    name = "local"
    python = platform.python_version()

    def __init__(self, scratch: Path) -> None:
        self.started: list[LocalRunning] = []
        self._opt = scratch / "opt"
        self._opt.mkdir()

    def start(self, spec: Spec) -> Running:
        for mount in spec.mounts:
            if mount.target.startswith("/opt/"):
                link = self._opt / Path(mount.target).name
                if not link.is_symlink():
                    link.symlink_to(mount.source)
        self.started.append(LocalRunning(self.argv(spec), spec.limits, dict(spec.env)))
        return self.started[-1]

    def argv(self, spec: Spec) -> list[str]:
        rest = [one.replace("'/opt'", repr(str(self._opt))) for one in spec.argv[1:]]
        return [INTERPRETER, *rest]

    def shortfalls(self) -> list[Shortfall]:
        return [Shortfall("nothing is enforced", "use another driver")]

    def reap(self, max_age: float) -> int:
        return 0


class Scripted(Local):
    """Runs a script in the runner's place: what an attacker who owns the process could send.

    The script gets `send(type, **keys)` (correct nonce and seq), `raw(payload)`, `frame(type,
    **keys)` (a correct frame as dict), and, once `ready` and `hello` are sent, `run` (the first
    `run` frame).
    """

    PRELUDE = """
import json, os, struct, sys
sys.path.insert(0, OPT)
from practicum_runner.frames import FrameReader
reader = FrameReader(lambda n: os.read(0, n))
start = reader.read()
state = {"seq": 0}
def frame(type, **keys):
    made = {"type": type, "nonce": start["nonce"], "seq": state["seq"], **keys}
    state["seq"] += 1
    return made
def raw(payload):
    data = struct.pack(">I", len(payload)) + payload
    while data:
        data = data[os.write(1, data):]
def send(type, **keys):
    raw(json.dumps(frame(type, **keys)).encode())
def model(id, rid=0, text="question", agent="", **keys):
    body = {"messages": [{"role": "user", "content": text}], **keys}
    send("model", rid=rid, id=id, role="policy", agent=agent, body=body)
def result(id, **keys):
    told = {"id": id, "reward": 1.0, "per_agent": {}, "metrics": {}, "turns": 0, "error": None}
    send("result", **{**told, **keys})
"""
    HELLO = """
send("ready", proto=2, python="3.11.0")
send("hello", format="gymnasium", tasks=None, load_s=0.0)
run = reader.read()
"""
    STAY = """
while reader.read() is not None: pass
"""

    def __init__(self, scratch: Path, script: str, *, hello: bool = True) -> None:
        super().__init__(scratch)
        self._script = script
        self._hello = self.HELLO if hello else ""

    def argv(self, spec: Spec) -> list[str]:
        opt = f"OPT = {str(self._opt)!r}"
        parts = (opt, self.PRELUDE, self._hello, self._script, self.STAY)
        return [INTERPRETER, "-I", "-B", "-c", "\n".join(parts)]
