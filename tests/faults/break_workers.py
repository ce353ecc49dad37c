"""Killing, freezing and stopping workers, each at a moment of its own."""

import signal
from dataclasses import dataclass
from pathlib import Path

from tests.faults import processes
from tests.faults.scene import Scene
from tests.faults.stack import WORKERS

RUNNER = "practicum_runner.main"  # a word of the command inside a sandbox
UP_S = 30.0
BUSY_S = 15.0
LEASE_S = 60.0
REST_S = 60.0
OPEN = "SELECT 1 FROM graders_job WHERE status IN ('queued', 'running') LIMIT 1"


@dataclass(frozen=True)
class _Held:
    """A job that a worker's process holds."""

    job: int
    token: int
    pid: int


def killed_before_start(scene: Scene) -> str:
    """The worker has taken a message, and dies before it has claimed a job."""
    name, main = _worker(scene)
    # A worker whose processes are all at work takes no message: let it come to rest.
    scene.wait(lambda: not scene.world.rows(OPEN), REST_S)
    log = scene.world.log(name)
    begun = log.stat().st_size
    # The pool's processes stand still, so that what the parent receives is not begun.
    processes.send(signal.SIGSTOP, processes.children_of(main))
    scene.give_work()
    heard = scene.wait(lambda: b"] received" in _since(log, begun), 10)
    _kill(main)
    return "held a message" if heard else "nothing was waiting"


def killed_mid_run(scene: Scene) -> str:
    """The worker dies while it works on a job."""
    name, main = _worker(scene)
    job = _running_job(scene, name)
    scene.world.pause(scene.random.uniform(0, 0.5))
    _kill(main)
    if job is None:
        return "was idle"
    return "was at work" if _is_held(scene, job) else "had just finished"


def killed_before_ack(scene: Scene) -> str:
    """The job's result is committed; the worker dies before it acknowledges the message."""
    name, main = _worker(scene)
    jobs = _running_jobs(scene, name)
    # Who acknowledges is the parent: it stands still while its pool goes on.
    processes.send(signal.SIGSTOP, [main])
    ended = scene.wait(lambda: any(not _is_held(scene, job) for job in jobs), 10)
    _kill(main)
    return "had committed" if ended else "had not committed"


def pool_child_killed(scene: Scene) -> str:
    """One process of the pool dies at work; the worker lives on."""
    name, main = _worker(scene)
    job = _running_job(scene, name)
    children = processes.children_of(main)
    busy = [pid for pid in children if job is not None and pid == job.pid]
    processes.send(signal.SIGKILL, busy or children[:1])
    return "was at work" if busy else "was idle"


def sandbox_killed(scene: Scene) -> str:
    """The kernel kills what runs in sandboxes, as it does where the machine has no memory left."""
    _, main = _worker(scene)
    scene.give_work()
    killed = 0
    for _ in range(3):
        found: list[int] = []

        def look(found: list[int] = found) -> bool:
            found += _runners(main)
            return bool(found)

        scene.wait(look, 3)
        processes.send(signal.SIGKILL, found)
        killed += len(found)
    return "runners were at work" if killed else "no runner was at work"


def frozen_past_its_lease(scene: Scene) -> str:
    """The worker stands still until another has taken its job over, then goes on writing."""
    name, main = _worker(scene, WORKERS[-1])  # not the one whose clock wakes the others
    job = _running_job(scene, name)
    tree = processes.tree_of(main)
    processes.send(signal.SIGSTOP, tree)
    taken = job is not None and scene.wait(lambda: not _is_held(scene, job), LEASE_S)
    processes.send(signal.SIGCONT, tree)
    return "its job was taken over" if taken else "its job was left to it"


def deployed(scene: Scene) -> str:
    """The worker is told to stop, as at a deployment."""
    name, main = _worker(scene)
    was_busy = _running_job(scene, name) is not None
    processes.send(signal.SIGTERM, [main])
    ended = scene.wait(lambda: main not in processes.every(), 90)
    scene.expect(ended, f"Worker {name} did not stop within 90 s of SIGTERM.")
    return "was at work" if was_busy else "was idle"


def _worker(scene: Scene, *names: str) -> tuple[str, int]:
    """One of the workers that is up, and its process."""
    name = scene.random.choice(names or WORKERS)
    up = scene.wait(lambda: _pool_is_up(scene, name), UP_S)
    main = scene.world.worker_main(name)
    assert up and main is not None, f"worker {name} is not up"
    return name, main


def _pool_is_up(scene: Scene, name: str) -> bool:
    main = scene.world.worker_main(name)
    return main is not None and bool(processes.children_of(main))


def _running_job(scene: Scene, name: str) -> _Held | None:
    """A job that this worker holds, or None if it gets none."""
    return next(iter(_running_jobs(scene, name)), None)


def _running_jobs(scene: Scene, name: str) -> list[_Held]:
    """The jobs that this worker holds; waits for one, and sees to it that there is work."""
    found: list[_Held] = []

    def look() -> bool:
        found.extend(_held_by(scene, name))
        return bool(found)

    if not look():
        scene.give_work()
        scene.wait(look, BUSY_S)
    return found


def _held_by(scene: Scene, name: str) -> list[_Held]:
    """The jobs that this worker holds now, the newest first."""
    query = (
        "SELECT id, token, worker FROM graders_job WHERE status = 'running' AND worker LIKE %s "
        "ORDER BY started DESC"
    )
    return [
        _Held(job, token, int(worker.rpartition(":")[2]))
        for job, token, worker in scene.world.rows(query, f"{name}@%") or []
    ]


def _is_held(scene: Scene, job: _Held) -> bool:
    """Whether the job is still running under that token."""
    query = "SELECT 1 FROM graders_job WHERE id = %s AND token = %s AND status = 'running'"
    return scene.world.rows(query, job.job, job.token) != []


def _runners(main: int) -> list[int]:
    """The commands inside a worker's sandboxes, not what started them."""
    every = processes.every()
    tree = [every[pid] for pid in processes.tree_of(main) if pid in every]
    words = [(process.pid, process.command.split("\0")) for process in tree]
    return [pid for pid, said in words if said[0] == "python3" and any(RUNNER in w for w in said)]


def _kill(main: int) -> None:
    processes.send(signal.SIGKILL, processes.tree_of(main))


def _since(log: Path, begun: int) -> bytes:
    with log.open("rb") as file:
        file.seek(begun)
        return file.read()
