"""`manage.py with_services -- COMMAND`: run a command beside throw-away engines."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from argparse import REMAINDER, ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from hub.stack import services
from hub.stack.errors import StackError
from hub.stack.paths import Paths
from hub.stack.processes import Lock, Supervisor, stop_on_signals


class Command(BaseCommand):
    help = (
        "Start PostgreSQL, Valkey and the reference model in a fresh data folder, run a command "
        "with PRACTICUM_DATA set to it, stop and remove everything, and exit with its code."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("command", nargs=REMAINDER, help="the command, after --")

    def handle(self, *, command: list[str], **_: Any) -> None:
        stop_on_signals()
        words = command[1:] if command[:1] == ["--"] else command
        folder = tempfile.mkdtemp(prefix="practicum-")
        try:
            code = self._run(words, Paths(Path(folder)))
        except StackError as error:
            self.stderr.write(str(error))
            code = 1
        except KeyboardInterrupt:
            code = 128 + signal.SIGINT
        finally:
            shutil.rmtree(folder)
        sys.exit(code)

    def say(self, text: str) -> None:
        # Standard output is the command's own.
        self.stderr.write(text, style_func=str)

    def _run(self, words: list[str], paths: Paths) -> int:
        if not words:
            raise StackError("Which command? manage.py with_services -- COMMAND")
        paths.make()
        services.check_disk(paths)
        with Supervisor(paths.logs, Lock(paths.data), self.say) as supervisor:
            services.initialise_postgres(paths, supervisor)
            supervisor.start(
                services.postgres(paths, durable=False),
                services.valkey(paths, durable=False),
                services.model(paths),
            )
            services.create_database(paths)
            return _run_beside(words, {**os.environ, "PRACTICUM_DATA": str(paths.data)})


def _run_beside(words: list[str], environment: dict[str, str]) -> int:
    """Runs the command on this terminal; it may end in its own way when it is interrupted."""
    try:
        child = subprocess.Popen(words, env=environment)  # noqa: S603 - what the user typed
    except OSError as error:
        raise StackError(f"{words[0]} cannot be run: {error.strerror}.") from error
    try:
        code = child.wait()
    except KeyboardInterrupt:
        child.terminate()
        code = child.wait()
    return code if code >= 0 else 128 - code
