"""The stack that the fault run breaks: real engines, site and workers in a folder of its own."""

import random
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psycopg
from django.core.management import call_command
from django.db import connection

from graders.models import Profile, ReferenceModel
from hub.accounts.services import ensure_service_user, issue_token
from hub.celery import worker_answers
from hub.stack import services
from hub.stack.paths import Paths
from hub.stack.processes import Program, Running, Supervisor
from tests.faults import model_server, processes

WORKERS = ("w1", "w2")
DOCKER_WORKER = "w3"
OWNERS = 12
TICK = 0.02  # seconds between looks at what is awaited
PROFILE = {
    "tasks": 2,
    "rollouts": 2,
    "group": 2,
    "token_limit": 64,
    "turn_limit": 4,
    "prompts": 3,
    "shard_tasks": 1,
    "shard_seconds": 40,
}
MODEL = {
    "model": model_server.MODEL_NAME,
    "temperature": 0.0,
    "max_tokens": 64,
    "concurrency": 4,
    "timeout_s": 3.0,
}


class World:
    """The stack, and what every fault needs to break it and to look at it.

    Only the thread that made it starts programs and calls `tick`.
    """

    def __init__(self, paths: Paths, supervisor: Supervisor, seed: int) -> None:
        self.paths = paths
        self.random = random.Random(seed)
        self.port = _free_port()
        self.tokens: dict[str, str] = {}
        self.programs: dict[str, Running] = {}
        self.odd = paths.data / "odd-answers.jsonl"
        self._supervisor = supervisor

    def start(self) -> None:
        """Everything but the Docker daemon and its worker."""
        services.initialise_postgres(self.paths, self._supervisor)
        self.launch(services.postgres(self.paths), services.valkey(self.paths), self._model())
        services.create_database(self.paths)
        call_command("migrate", interactive=False, verbosity=0)
        self._fill()
        self.launch(services.site(self.paths, self.port))
        self.launch(*(self._worker(name, "bubblewrap") for name in WORKERS))

    def start_docker_worker(self, host: str) -> None:
        """A worker that runs sandboxes in the Docker daemon at `host`."""
        self.launch(self._worker(DOCKER_WORKER, "docker", DOCKER_HOST=host))

    def launch(self, *programs: Program) -> None:
        """Starts programs, each to be restarted when it dies, and waits for them."""
        for program in programs:
            self.programs[program.name] = self._supervisor.launch(program)
        for program in programs:
            assert self.wait(program.ready, 90), f"{program.label} did not start"

    def tick(self) -> None:
        """What an operator's supervisor does: start again what died, however often it dies."""
        for running in self.programs.values():
            running.deaths = 0
        self._supervisor.check()

    def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Ticks until the condition holds; False if it does not in time."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            self.tick()
            time.sleep(TICK)
        return True

    def pause(self, seconds: float) -> None:
        self.wait(lambda: False, seconds)

    def rows(self, query: str, *arguments: object) -> list[tuple[Any, ...]] | None:
        """What a query finds; None while the database does not answer."""
        try:
            with self.database() as db:
                return db.execute(query, arguments or None).fetchall()
        except psycopg.Error:
            return None

    def execute(self, query: str) -> bool:
        """Carries out a statement; False if the database did not."""
        try:
            with self.database() as db:
                db.execute(query)
        except psycopg.Error:
            return False
        return True

    def database(self) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(
            host=self.paths.postgres_socket_dir,
            user=services.DATABASE_OWNER,
            dbname=services.DATABASE,
            autocommit=True,
            connect_timeout=3,
        )

    def control_model(self, mode: str, seconds: float) -> None:
        """Makes the model misbehave for a while."""
        transport = httpx.HTTPTransport(uds=str(self.paths.model_socket))
        with httpx.Client(transport=transport, base_url=services.MODEL_BASE_URL) as client:
            client.post("/control", json={"mode": mode, "seconds": seconds})

    def is_up(self) -> bool:
        """Whether everything answers."""
        return all(running.program.ready() for running in self.programs.values())

    def log(self, name: str) -> Path:
        return self.paths.logs / f"{name}.log"

    def worker_main(self, name: str) -> int | None:
        """The process of a worker that holds its pool."""
        return processes.main_of(f"{name}@%h")

    def _fill(self) -> None:
        """The rows that an operator makes once: people, their tokens, a model and a profile."""
        for number in range(OWNERS):
            owner = ensure_service_user(f"owner{number}")
            self.tokens[owner.username] = issue_token(user=owner, name="faults", actor=owner)
        base_url = f"unix:{self.paths.model_socket}"
        ReferenceModel.objects.create(name="fault", base_url=base_url, is_default=True, **MODEL)
        Profile.objects.filter(is_default=True).update(is_default=False)
        Profile.objects.create(name="fault", is_default=True, **PROFILE)
        connection.close()

    def _model(self) -> Program:
        """In the place of the stack's own."""
        options = ["--socket", str(self.paths.model_socket), "--odd", str(self.odd)]
        return replace(
            services.model(self.paths),
            label="Fault-injecting model",
            command=[sys.executable, "-m", "tests.faults.model_server", *options],
        )

    def _worker(self, name: str, driver: str, **environment: str) -> Program:
        """The stack's own worker under another name; the first one has the scheduler."""
        base = services.worker(self.paths, lambda: worker_answers(f"{name}@{socket.gethostname()}"))
        command = [word for word in base.command if word != "-B" or name == WORKERS[0]]
        return replace(
            base,
            name=name,
            label=f"Worker {name} ({driver})",
            command=[*command, "-n", f"{name}@%h"],
            environment={**base.environment, "SANDBOX_DRIVER": driver, **environment},
        )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
