"""Real workers that are told to stop, killed, flooded and forgotten: what they did not finish is
done by others, once."""

import io
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings

from environments import packing
from environments import services as catalogue
from environments.models import Version
from graders import operations, services, sweeping, waking
from graders.models import Evaluation, Job, Rollout
from graders.states import KINDS, OPEN_STATUSES, JobKind, JobStatus, Stage
from tests.factories import SMALL_PROFILE, make_evaluation, make_user
from tests.graders.scripted import Server, ok
from tests.graders.workers import Worker, broker, sandboxes, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.e2e]

ROLLOUTS = 8  # 4 tasks, 2 of each


@pytest.fixture(autouse=True)
def _where_workers_look(settings) -> Iterator[None]:
    """Archives lie in the workers' data folder, and no message of another test in their queues."""
    settings.STORAGES = settings.STORAGES | {
        "default": settings.STORAGES["default"] | {"OPTIONS": {"location": settings.PATHS.media}}
    }
    broker().flushall()
    yield
    broker().flushall()


@pytest.fixture
def evaluation(server: Server) -> Evaluation:
    """An evaluation of a real environment, one request at a time."""
    return submit(server)


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """Starts workers; the last of a failed test says in its log what happened."""
    started: list[Worker] = []

    def start(**environment: str) -> Worker:
        log = tmp_path / f"worker{len(started)}.log"
        started.append(Worker(log, **environment))
        return started[-1]

    yield start
    for one in started:
        one.stop()
    for log in sorted(tmp_path.glob("worker*.log")):
        print(f"--- {log.name}", log.read_text()[-20_000:], sep="\n")


def submit(server: Server) -> Evaluation:
    owner = make_user()
    data = packing.pack(settings.BASE_DIR / "examples" / "number-hunt")
    version = catalogue.submit(
        file=io.BytesIO(data), filename="e.tar.gz", owner=owner, name=None, actor=owner
    ).version
    profile = SMALL_PROFILE | {"turn_limit": 1, "shard_tasks": 8}
    found = make_evaluation(Version.objects.get(pk=version.pk), **profile)
    model = found.model
    model.base_url, model.concurrency = server.base_url, 1
    model.save()
    return found


def slowly(seconds: float) -> Callable[..., None]:
    """A good answer after a while."""

    def answer(handler) -> None:
        time.sleep(seconds)
        ok()(handler)

    return answer


def rollouts_job() -> Job | None:
    return Job.objects.filter(kind=JobKind.ROLLOUTS, status=JobStatus.RUNNING).first()


def is_rolling() -> bool:
    """Some rollouts are written, and more to come."""
    return rollouts_job() is not None and Rollout.objects.count() >= 2


def is_over() -> bool:
    return not Job.objects.filter(status__in=OPEN_STATUSES).exists()


def done(evaluation: Evaluation) -> Evaluation:
    evaluation.refresh_from_db()
    assert evaluation.stage == Stage.DONE, evaluation.fault
    assert Rollout.objects.filter(task__evaluation=evaluation).count() == ROLLOUTS
    assert not evaluation.jobs.exclude(status=JobStatus.DONE).exists()
    return evaluation


def test_a_worker_told_to_stop_gives_back_what_it_cannot_finish(
    evaluation: Evaluation, server: Server, worker: Callable[..., Worker]
) -> None:
    server.play(slowly(1.5))
    first = worker(JOB_GRACE_SECONDS="1")
    until(is_rolling)
    first.signal(signal.SIGTERM)
    assert first.wait(15) == 0
    job = evaluation.jobs.get(kind=JobKind.ROLLOUTS)
    assert (job.status, job.attempt, job.lease_until) == (JobStatus.QUEUED, 0, None)
    assert "the worker was told to stop" in job.log
    kept = set(Rollout.objects.values_list("pk", flat=True))
    assert 2 <= len(kept) < ROLLOUTS
    server.play(ok())
    worker()
    until(is_over)
    done(evaluation)
    assert kept <= set(Rollout.objects.values_list("pk", flat=True))
    assert evaluation.jobs.get(kind=JobKind.ROLLOUTS).attempt == 1


def test_a_worker_told_to_stop_finishes_what_is_short(
    evaluation: Evaluation, server: Server, worker: Callable[..., Worker]
) -> None:
    server.play(slowly(0.5))
    first = worker(JOB_GRACE_SECONDS="30")
    until(lambda: rollouts_job() is not None)
    first.signal(signal.SIGTERM)
    began = time.monotonic()
    assert first.wait(25) == 0
    assert time.monotonic() - began < 20, "it went on although it had finished"
    job = evaluation.jobs.get(kind=JobKind.ROLLOUTS)
    assert (job.status, job.attempt) == (JobStatus.DONE, 1)
    assert evaluation.jobs.get(kind=JobKind.SUMMARISE).status == JobStatus.QUEUED


def test_a_process_that_is_itself_told_to_end_gives_its_job_back(
    evaluation: Evaluation, server: Server, worker: Callable[..., Worker]
) -> None:
    """Some supervisors send SIGTERM to every process of a group; SIGQUIT makes Celery do so."""
    server.play(slowly(1.5))
    first = worker()
    until(is_rolling)
    first.signal(signal.SIGQUIT)
    first.wait(15)
    job = evaluation.jobs.get(kind=JobKind.ROLLOUTS)
    assert (job.status, job.attempt) == (JobStatus.QUEUED, 0)


def test_a_killed_process_costs_its_lease_and_nothing_else(
    evaluation: Evaluation, server: Server, worker: Callable[..., Worker]
) -> None:
    server.play(slowly(1.0))
    first = worker(JOB_LEASE_SECONDS="3", JOB_HEARTBEAT_SECONDS="1")
    until(is_rolling)
    victim = int(rollouts_job().worker.rpartition(":")[2])
    os.kill(victim, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{victim}").exists())
    server.play(ok())
    until(lambda: sweeping.sweep() or is_over())
    done(evaluation)
    assert first.is_alive
    assert evaluation.jobs.get(kind=JobKind.ROLLOUTS).attempt == 2
    assert not sandboxes(first)


def test_a_poison_job_ends_dead_and_leaves_the_pool_alive(
    evaluation: Evaluation, server: Server, worker: Callable[..., Worker]
) -> None:
    server.play(slowly(30.0))
    first = worker(JOB_LEASE_SECONDS="2", JOB_HEARTBEAT_SECONDS="0.5")
    killed: set[int] = set()

    def kill() -> bool:
        sweeping.sweep()
        job = rollouts_job()
        pid = int(job.worker.rpartition(":")[2]) if job and job.worker else 0
        if pid and pid not in killed and job.attempt <= 3 and sandboxes(first):
            killed.add(pid)
            os.kill(pid, signal.SIGKILL)
        return is_over()

    until(kill, 90)
    job = evaluation.jobs.get(kind=JobKind.ROLLOUTS)
    assert (job.status, len(killed)) == (JobStatus.DEAD, 3)
    assert job.log.count("--- attempt") == 4
    evaluation.refresh_from_db()
    assert evaluation.stage == Stage.FAILED
    server.play(ok())
    other = submit(server)
    until(is_over)
    done(other)
    assert first.is_alive


def test_ten_deliveries_and_a_broker_that_forgets_change_nothing_but_the_delay(
    server: Server, worker: Callable[..., Worker]
) -> None:
    evaluations = [submit(server) for _ in range(2)]
    for queue in KINDS:
        waking.wake(queue, 10)
    server.play(slowly(0.1))
    worker()
    until(is_rolling)
    broker().flushall()
    for queue in KINDS:
        waking.wake(queue, 10)
    broker().flushall()
    until(lambda: sweeping.sweep() or is_over())
    for evaluation in evaluations:
        done(evaluation)
        assert set(evaluation.jobs.values_list("attempt", "token")) == {(1, 1)}


def test_a_cancelled_evaluation_ends_its_sandbox_within_seconds(
    evaluation: Evaluation, server: Server, worker: Callable[..., Worker]
) -> None:
    server.play(slowly(1.5))
    first = worker()
    until(is_rolling)
    assert sandboxes(first)
    operations.cancel(evaluation=evaluation, actor=evaluation.version.environment.owner)
    began = time.monotonic()
    until(lambda: not sandboxes(first))
    assert time.monotonic() - began < 4
    kept = Rollout.objects.count()
    assert evaluation.jobs.get(kind=JobKind.ROLLOUTS).status == JobStatus.CANCELLED
    server.play(ok())
    time.sleep(2)
    assert Rollout.objects.count() == kept >= 2, "something was written afterwards"
    again = services.retry(version=evaluation.version, actor=evaluation.version.environment.owner)
    until(is_over)
    done(again)
