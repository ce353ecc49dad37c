"""`manage.py sandbox`: run one file exactly as contributed code is run, and say how it ended."""

import json
import os
import signal
import sys
from argparse import ArgumentParser
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandError

from graders.errors import PlatformFault
from graders.link import ENV, PYTHON
from graders.pipeline.launching import MEMORY_MB, MOUNTED, sandboxes
from graders.sandbox import Ending, EndReason, Limits, Mount, Sandbox, SandboxUnavailable, Spec
from graders.sandbox.offers import DRIVERS
from graders.sandbox.streams import HeadTail

BAD_INPUT, NO_SANDBOX = 2, 125
# Of runs that did not exit by themselves; the numbers are those of timeout(1) and shells.
EXIT_CODES = {
    EndReason.TIMEOUT: 124,
    EndReason.LOST: NO_SANDBOX,
    EndReason.KILLED: 130,
    EndReason.OUTPUT_LIMIT: 136,
    EndReason.OUT_OF_MEMORY: 137,
}
KEPT_BYTES = 1 << 20  # of standard output, with --json


class Command(BaseCommand):
    help = (
        "Run one Python file, alone and read-only under /env, under the profile that evaluations "
        "use. Its output goes to standard output as it comes, its errors to standard error at its "
        "end. Exits as the file did; 124: over its time, 137: out of memory, 136: too much output, "
        "130: interrupted, 125: no sandbox, 2: bad input. Ctrl-C kills it and leaves nothing."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        drivers = [*DRIVERS, "auto"]
        parser.add_argument("--driver", choices=drivers, help="instead of SANDBOX_DRIVER")
        seconds, memory = Limits.seconds, MEMORY_MB
        parser.add_argument("--timeout", type=float, default=seconds, metavar="S")
        parser.add_argument("--memory", type=int, default=memory, metavar="MB")
        parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
        parser.add_argument("file", type=Path, metavar="FILE", help="the Python file to run")
        parser.add_argument("args", nargs="*", metavar="ARGS", help="its arguments, after --")

    def handle(self, *args: str, file: Path, driver: str | None, **options: Any) -> None:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            spec = _spec(file, args, options["timeout"], options["memory"])
            chosen = sandboxes(driver or "").default
            streamed = None if options["json"] else sys.stdout.buffer
            done = _run(chosen, spec, streamed)
        except ValueError as error:
            raise CommandError(str(error), returncode=BAD_INPUT) from error
        except (PlatformFault, SandboxUnavailable) as error:
            raise CommandError(str(error), returncode=NO_SANDBOX) from error
        except KeyboardInterrupt:
            sys.exit(EXIT_CODES[EndReason.KILLED])
        self._answer(chosen, done, as_json=options["json"])
        sys.exit(EXIT_CODES.get(done.ending.reason, done.ending.exit_code or 0))

    def _answer(self, chosen: Sandbox, done: "Done", *, as_json: bool) -> None:
        ending = done.ending
        if as_json:
            said = {
                "driver": chosen.name,
                "python": chosen.python,
                "reason": ending.reason,
                "exit": ending.exit_code,
                "seconds": round(ending.seconds, 3),
                "peak_memory_mb": ending.peak_memory_mb,
                "stdout_bytes": done.stdout.total,
                "stderr_bytes": ending.stderr_bytes,
                "stdout": done.stdout.text(),
                "stderr": ending.stderr,
            }
            self.stdout.write(json.dumps(said))
            return
        if ending.stderr:
            self.stderr.write(ending.stderr)
        peak = "unknown" if ending.peak_memory_mb is None else f"{ending.peak_memory_mb:.0f} MiB"
        self.stderr.write(
            f"{chosen.name}: {ending.reason}, exit code {ending.exit_code}, "
            f"{ending.seconds:.2f} s, peak memory {peak}, "
            f"{done.stdout.total} bytes of output, {ending.stderr_bytes} of errors"
        )


@dataclass(frozen=True)
class Done:
    """A finished run; `stdout` keeps the head and the tail of what it printed."""

    ending: Ending
    stdout: HeadTail


def _spec(file: Path, args: tuple[str, ...], seconds: float, memory_mb: int) -> Spec:
    """The run of a file. Raises ValueError for what cannot be run."""
    if not file.is_file():
        raise ValueError(f"{file} is not a file: name the Python file to run")
    if not os.access(file, os.R_OK):
        raise ValueError(f"{file} cannot be read: chmod +r it")
    target = f"{MOUNTED}/{file.name}"
    limits = Limits(memory_mb=memory_mb, seconds=seconds)
    mounts = (Mount(file.resolve(), target),)
    return Spec("manage.py sandbox", (*PYTHON, target, *args), mounts, limits, ENV)


def _run(chosen: Sandbox, spec: Spec, streamed: BinaryIO | None) -> Done:
    """Run to the end, or until interrupted: then everything inside is killed."""
    kept = HeadTail(KEPT_BYTES)
    with chosen.start(spec) as running:
        try:
            running.close_input()
            for data in iter(running.receive, b""):
                kept.add(data)
                if streamed is not None:
                    streamed.write(data)
                    streamed.flush()
        except (KeyboardInterrupt, BrokenPipeError):
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # what follows takes a moment
            running.kill()
        return Done(running.wait(), kept)
