"""`manage.py up`: the whole hub on one machine, until it is interrupted."""

import errno
import os
import signal
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

import httpx
from django.core.management import call_command
from django.core.management.base import BaseCommand

from graders.services import ensure_embedded_model
from hub.accounts.services import ensure_admin, ensure_service_user, issue_token
from hub.celery import worker_answers
from hub.database import let_go
from hub.stack import demo, examples, services
from hub.stack.errors import StackError
from hub.stack.paths import Paths
from hub.stack.processes import Lock, Supervisor, step, stop_on_signals

TOKEN_DAYS = 1
CHECK_INTERVAL = 0.5  # seconds


class Command(BaseCommand):
    help = (
        "Start PostgreSQL, Valkey, the reference model, a worker and the site; submit the "
        "examples on the first start; stay until interrupted."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--demo", action="store_true", help="end when all are evaluated")
        parser.add_argument("--no-examples", action="store_true", help="submit no examples")
        parser.add_argument("--port", default=os.environ.get("PRACTICUM_PORT") or "8000")

    def handle(self, *, port: str, **options: Any) -> None:
        stop_on_signals()
        try:
            code = self._run(_port(port), Paths.from_env(), options)
        except StackError as error:
            self.stderr.write(str(error))
            code = 1
        except KeyboardInterrupt:
            code = 128 + signal.SIGINT if options["demo"] else 0
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            self.stderr.write("The disk is full: free some space and start again.")
            code = 1
        sys.exit(code)

    def say(self, text: str) -> None:
        # The terminal may be gone; that must not keep anything from being stopped.
        with suppress(OSError):
            self.stdout.write(text)
            self.stdout.flush()

    def _run(self, port: int, paths: Paths, options: dict[str, Any]) -> int:
        services.check_port(port)
        paths.make()
        services.check_disk(paths)
        with Supervisor(paths.logs, Lock(paths.data), self.say) as supervisor:
            try:
                return self._serve(supervisor, paths, port, options)
            except KeyboardInterrupt:
                self.say("\nStopping (Ctrl-C once more: at once).")
                raise

    def _serve(
        self, supervisor: Supervisor, paths: Paths, port: int, options: dict[str, Any]
    ) -> int:
        token = self._start(supervisor, paths, port)
        with examples.client(port, token) as site:
            wanted = [] if options["no_examples"] else self._submit(site, paths)
            progress = demo.Progress(site, wanted, self.say)
            if options["demo"]:
                demo.follow(progress, supervisor.check)
                return self._report(site, paths, wanted)
            self.say(f"\nPracticum is at http://127.0.0.1:{port}/ (Ctrl-C stops it)\n")
            _stay(supervisor, progress)

    def _start(self, supervisor: Supervisor, paths: Paths, port: int) -> str:
        """Starts everything; returns a token of the examples' owner."""
        services.initialise_postgres(paths, supervisor)
        supervisor.start(services.postgres(paths), services.valkey(paths))
        services.create_database(paths)
        with _database():
            self._step("Database", "migrated", "migrate")
            password = ensure_admin()
            ensure_embedded_model(f"unix:{paths.model_socket}")
            owner = ensure_service_user(examples.OWNER)
            token = issue_token(user=owner, name="examples", actor=owner, days=TOKEN_DAYS)
        self._collect_static(paths)
        # The site first: whoever waits, waits for a page. The others join it.
        supervisor.start(services.site(paths, port))
        supervisor.launch(services.model(paths))
        supervisor.launch(services.worker(paths, worker_answers))
        if password is not None:
            self.say(f"\nAdministrator: practicum-admin, password: {password} (shown only now)")
        return token

    def _collect_static(self, paths: Paths) -> None:
        """Collects the static files, unless they are those of the last time."""
        stamp, now = paths.work / "static-stamp", services.static_fingerprint()
        if not stamp.exists() or stamp.read_text() != now:
            self._step("Static files", "collected", "collectstatic")
            stamp.write_text(now)

    def _step(self, label: str, outcome: str, command: str) -> None:
        begun = time.monotonic()
        call_command(command, interactive=False, verbosity=0)
        self.say(step(label, f"{outcome} ({time.monotonic() - begun:.1f} s)"))

    def _submit(self, site: httpx.Client, paths: Paths) -> list[examples.Example]:
        known = examples.submitted(paths)
        if known is not None:
            return known
        made = []
        for example in examples.submit(site):
            made.append(example)
            self.say(f"Submitted {example}")
        examples.remember(paths, made)
        return made

    def _report(self, site: httpx.Client, paths: Paths, made: list[examples.Example]) -> int:
        rows = demo.report(site, made)
        path = paths.data / "demo.json"
        demo.write(path, rows)
        self.say(f"\n{demo.table(rows)}\n\nWritten to {path}")
        failed = [row["name"] for row in rows if row["status"] != "evaluated"]
        if failed or not rows:
            raise StackError(f"Not evaluated: {', '.join(failed) or 'there are no examples'}.")
        return 0


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 2**16:
        raise StackError(f"{text!r} is not a port: set PRACTICUM_PORT to a number up to 65535.")
    return int(text)


@contextmanager
def _database() -> Iterator[None]:
    """This process needs the database only while it sets things up."""
    try:
        yield
    finally:
        let_go()


def _stay(supervisor: Supervisor, progress: demo.Progress) -> NoReturn:
    """Until interrupted; reports the examples' evaluation while it goes on."""
    while True:
        supervisor.check()
        if not progress.done:
            progress.poll()
        time.sleep(CHECK_INTERVAL)
