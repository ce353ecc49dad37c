"""Restarting, killing and confusing what the hub stands on: broker, database, model, Docker."""

import signal
from functools import partial

import redis

from environments.services import BEGIN
from graders import waking
from graders.states import QUEUES
from hub.celery import app
from tests.faults import processes, witness
from tests.faults.scene import Fault, Scene
from tests.faults.stack import DOCKER_WORKER

BACK_S = 60.0
TIMES = 10
WRONG = ("garbage", "wrong", "truncated", "closed", "error", "odd")


def broker_restarted(scene: Scene) -> str:
    """The broker is stopped and started; its queue is on disk."""
    return _end(scene, "valkey", str(scene.world.paths.valkey_socket), signal.SIGTERM)


def broker_killed(scene: Scene) -> str:
    """The broker dies; up to a second of its queue is gone."""
    return _end(scene, "valkey", str(scene.world.paths.valkey_socket), signal.SIGKILL)


def broker_flushed(scene: Scene) -> str:
    """Everything that the broker knew is gone: messages, unacknowledged ones, rate limits."""
    with redis.Redis(unix_socket_path=str(scene.world.paths.valkey_socket)) as broker:
        lost = sum(broker.llen(queue) for queue in {*QUEUES.values()})
        lost += broker.hlen("unacked")
        broker.flushall()
    return "lost messages" if lost else "was empty"


def messages_repeated(scene: Scene) -> str:
    """Every job's message, and every version's, is delivered ten times over."""
    query = "SELECT kind FROM graders_job WHERE status IN ('queued', 'running') LIMIT 10"
    queues = [QUEUES[kind] for (kind,) in scene.world.rows(query) or []]
    versions = "SELECT id FROM environments_version ORDER BY id DESC LIMIT 3"
    begun = [version for (version,) in scene.world.rows(versions) or []]
    with app.connection_for_write() as connection:
        for queue in queues * TIMES:
            app.send_task(waking.WORK, [queue], queue=queue, connection=connection)
        for version in begun * TIMES:
            app.send_task(BEGIN, [version], queue="build", connection=connection)
    return "jobs were open" if queues else "no job was open"


def database_restarted(scene: Scene, *, number: signal.Signals) -> str:
    """The database goes down in the middle of a commit."""
    world = scene.world
    witness.stretch_commits(world, slow=True)
    uploads = [scene.in_somebodys_name(scene.maker.one()) for _ in range(4)]
    scene.crowd.release(uploads)
    met = scene.wait(lambda: witness.is_committing(world), 6)
    _end(scene, "postgres", str(world.paths.postgres), number)
    quick = scene.wait(lambda: witness.stretch_commits(world, slow=False), BACK_S)
    scene.expect(quick, "The database did not come back.")
    _expect_pages(scene, "after the database was back")
    return "in a commit" if met else "between commits"


def model_misbehaves(scene: Scene, *, modes: tuple[str, ...]) -> str:
    """The model answers slowly, wrongly, by half, or not at all."""
    mode = scene.random.choice(modes)
    scene.world.control_model(mode, scene.random.uniform(2, 8))
    scene.world.pause(3)
    return mode


def model_gone(scene: Scene) -> str:
    """The model's server dies, and is back a little later."""
    return _end(scene, "model", str(scene.world.paths.model_socket), signal.SIGKILL)


def docker_ended(scene: Scene, *, number: signal.Signals) -> str:
    """The Docker daemon stops or dies while a sandbox runs in it."""
    daemon = scene.daemon
    assert daemon is not None
    query = (
        "SELECT 1 FROM graders_job WHERE status = 'running' AND kind IN ('inspect', 'rollouts') "
        "AND worker LIKE %s"
    )
    busy = scene.wait(lambda: bool(scene.world.rows(query, f"{DOCKER_WORKER}@%")), 15)
    ran = busy and scene.wait(lambda: bool(daemon.containers()), 5)
    _end(scene, "dockerd", f"--host={daemon.host}", number)
    return "a container ran" if ran else "no container ran"


def _end(scene: Scene, name: str, word: str, number: signal.Signals) -> str:
    """Ends one program of the stack and waits until the supervisor has it back."""
    main = processes.main_of(word)
    assert main is not None, f"{name} is not up"
    processes.send(number, [main])
    scene.wait(lambda: main not in processes.every(), 30)
    back = scene.wait(scene.world.programs[name].program.ready, BACK_S)
    scene.expect(back, f"{name} did not come back.")
    return "came back" if back else "did not come back"


def _expect_pages(scene: Scene, when: str) -> None:
    """Readers see nothing of it any more."""
    statuses = scene.site.read(TIMES)
    bad = [status for status in statuses if status != 200]
    scene.expect(not bad, f"{len(bad)} of {TIMES} requests failed {when}: {bad}")


FAULTS: dict[str, Fault] = {
    "broker restarted": broker_restarted,
    "broker killed": broker_killed,
    "broker flushed": broker_flushed,
    "messages ten times": messages_repeated,
    "database restarted mid-commit": partial(database_restarted, number=signal.SIGINT),
    "database killed mid-commit": partial(database_restarted, number=signal.SIGKILL),
    "database shut down at once, mid-commit": partial(database_restarted, number=signal.SIGQUIT),
    "model slow": partial(model_misbehaves, modes=("slow",)),
    "model hanging": partial(model_misbehaves, modes=("hanging",)),
    "model wrong or truncated": partial(model_misbehaves, modes=WRONG),
    "model gone": model_gone,
}
DOCKER_FAULTS: dict[str, Fault] = {
    "dockerd restarted": partial(docker_ended, number=signal.SIGTERM),
    "dockerd killed": partial(docker_ended, number=signal.SIGKILL),
}
