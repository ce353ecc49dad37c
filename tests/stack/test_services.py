"""The real engines, in a data folder that only its owner can open."""

import os
import pwd
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from hub.stack import services
from hub.stack.errors import StackError
from hub.stack.model_server import MODEL_NAME
from hub.stack.paths import Paths
from hub.stack.processes import Lock, Supervisor


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def database(paths: Paths) -> psycopg.Connection:
    return psycopg.connect(
        host=paths.postgres_socket_dir, user="postgres", dbname="practicum", autocommit=True
    )


def start_postgres(paths: Paths, supervisor: Supervisor) -> None:
    services.initialise_postgres(paths, supervisor)
    supervisor.start(services.postgres(paths, durable=False))
    services.create_database(paths)


def test_a_taken_port_is_one_line(taken_port: int) -> None:
    with pytest.raises(StackError, match=rf"Port {taken_port} .*PRACTICUM_PORT=") as found:
        services.check_port(taken_port)
    assert "\n" not in str(found.value)


def test_a_free_port_passes(taken_port: int) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
    services.check_port(port)


def test_a_full_disk_is_one_line(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    services.check_disk(paths)
    monkeypatch.setattr(services, "LEAST_FREE", 2.0**40)
    with pytest.raises(StackError, match=r"Only [0-9.]+ GiB is free .*PRACTICUM_DATA"):
        services.check_disk(paths)


def test_data_survives_a_stop_and_nothing_listens_on_the_network(paths: Paths) -> None:
    lock = Lock(paths.data)
    with Supervisor(paths.logs, lock, print) as supervisor:
        start_postgres(paths, supervisor)
        with database(paths) as connection:
            connection.execute("CREATE EXTENSION vector")
            connection.execute("CREATE TABLE kept AS SELECT '[3,4]'::vector AS v")
            assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
            upper = connection.execute("SELECT upper('straße é'), 'é' ~ '\\w'").fetchone()
            assert upper == ("STRAßE É", True)
    with pytest.raises(psycopg.OperationalError):
        database(paths)
    with Supervisor(paths.logs, lock, print) as supervisor:
        start_postgres(paths, supervisor)
        with database(paths) as connection:
            length = connection.execute("SELECT v <-> '[0,0]' FROM kept").fetchone()
            assert length == (5.0,)
    lock.release()


def test_a_killed_server_does_not_block_the_next(
    paths: Paths, eventually: Callable[..., None]
) -> None:
    lock = Lock(paths.data)
    with Supervisor(paths.logs, lock, print) as supervisor:
        start_postgres(paths, supervisor)
        mark = paths.postgres / "postmaster.pid"
        written = mark.read_text()
        pid = int(written.split()[0])
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not Path(f"/proc/{pid}").exists())
    # By now another process has its number: this one.
    mark.write_text(written.replace(str(pid), str(os.getpid()), 1))
    (paths.run / ".s.PGSQL.5432.lock").write_text(written.replace(str(pid), str(os.getpid()), 1))
    with Supervisor(paths.logs, lock, print) as supervisor:
        start_postgres(paths, supervisor)
        with database(paths) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    lock.release()


def test_an_interrupted_setup_is_begun_again(paths: Paths, supervisor: Supervisor) -> None:
    unfinished = paths.postgres.with_suffix(".new")
    unfinished.mkdir()
    (unfinished / "PG_VERSION").write_text("18")
    start_postgres(paths, supervisor)
    assert not unfinished.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become someone else")
def test_under_root_postgres_is_not_root_and_opens_up_nothing(
    paths: Paths, supervisor: Supervisor
) -> None:
    closed = paths.data.parent
    closed.chmod(0o700)
    start_postgres(paths, supervisor)
    pid = (paths.postgres / "postmaster.pid").read_text().split()[0]
    status = Path(f"/proc/{pid}").stat()
    assert pwd.getpwuid(status.st_uid).pw_name == services.SYSTEM_USER
    assert closed.stat().st_mode & 0o777 == 0o700


def test_valkey_keeps_its_queue(paths: Paths) -> None:
    def ask(command: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(paths.valkey_socket))
            client.sendall(command)
            return client.recv(64)

    lock = Lock(paths.data)
    with Supervisor(paths.logs, lock, print) as supervisor:
        supervisor.start(services.valkey(paths))
        assert ask(b"LPUSH queue message\r\n") == b":1\r\n"
        assert paths.valkey_socket.stat().st_mode & 0o777 == 0o700
    with Supervisor(paths.logs, lock, print) as supervisor:
        supervisor.start(services.valkey(paths))
        assert ask(b"LLEN queue\r\n") == b":1\r\n"
    lock.release()


def test_the_model_answers_a_chat(paths: Paths, supervisor: Supervisor) -> None:
    supervisor.start(services.model(paths))
    with httpx.Client(
        transport=httpx.HTTPTransport(uds=str(paths.model_socket)), base_url="http://m", timeout=60
    ) as client:
        question = {"role": "user", "content": "What is the capital of France?"}
        body = {"messages": [question], "max_tokens": 24, "temperature": 0}
        answer, again = (
            client.post("/v1/chat/completions", json=body).raise_for_status().json()
            for _ in range(2)
        )
        models = client.get("/v1/models").json()
    assert answer["choices"][0]["message"]["content"].strip()
    assert answer["choices"] == again["choices"]  # at temperature 0
    assert answer["usage"]["completion_tokens"] <= 24
    assert models["data"][0]["id"] == MODEL_NAME


def test_a_killed_model_comes_back(paths: Paths, supervisor: Supervisor) -> None:
    program = services.model(paths)
    supervisor.start(program)
    found = [folder for folder in Path("/proc").glob("[0-9]*") if _serves(folder, paths)]
    assert len(found) == 1
    os.kill(int(found[0].name), signal.SIGKILL)
    deadline = time.monotonic() + 60
    while program.ready():
        time.sleep(0.05)
    while not program.ready():
        supervisor.check()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _serves(folder: Path, paths: Paths) -> bool:
    """Whether this process is the model's server itself, not the tether that holds it."""
    try:
        words = (folder / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return str(paths.model_socket).encode() in words and b"--stop" not in words
