"""The job engine: one holder at a time, stale holders refused, nothing forgotten."""

import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import OperationalError, connection
from django.db.models.functions import Now
from kombu import Connection

from graders import beating, jobs, logs, services, sweeping, waking, working
from graders.beating import Heartbeat
from graders.errors import EnvironmentFault, ModelUnavailable
from graders.models import Evaluation, Job, Profile
from graders.states import KINDS, JobKind, JobStatus, Stage
from hub.celery import app
from tests.factories import make_evaluation, make_model, make_version
from tests.graders.leases import expire, make_due, take
from tests.graders.workers import until
from tests.racing import at_once

pytestmark = pytest.mark.django_db


def test_a_job_is_claimed_once(job: Job) -> None:
    held = take()
    assert (held.token, held.job.attempt, held.job.status) == (1, 1, JobStatus.RUNNING)
    assert jobs.claim("build", worker="b") is None


def test_each_queue_has_its_own_jobs(job: Job) -> None:
    assert jobs.claim("rollouts", worker="a") is None
    assert jobs.claim("stats", worker="a") is None
    assert take("build").job == job
    assert sorted(kind for kinds in KINDS.values() for kind in kinds) == sorted(JobKind)


def test_a_job_whose_lease_ran_out_is_taken_over_and_the_old_token_is_refused(job: Job) -> None:
    first = take()
    expire(job)
    second = take(worker="b")
    assert second.token == first.token + 1
    assert not jobs.extend(first)
    with pytest.raises(jobs.LeaseLost), jobs.guarded(first):
        pytest.fail("a stale token wrote")
    with jobs.guarded(second) as mine:
        jobs.finish(mine)
    job.refresh_from_db()
    assert job.status == JobStatus.DONE


def test_a_heartbeat_keeps_the_lease_and_the_log(job: Job) -> None:
    held = take()
    expire(job)
    held.log.add("halfway")
    assert jobs.extend(held)
    assert jobs.claim("build", worker="b") is None
    job.refresh_from_db()
    assert job.log == "--- attempt 1 on a\nhalfway\n"
    assert job.heartbeat >= job.started


def test_a_cancelled_job_refuses_its_worker(job: Job) -> None:
    held = take()
    jobs.cancel_all(job.evaluation)
    with pytest.raises(jobs.LeaseLost), jobs.guarded(held):
        pytest.fail("a cancelled job wrote")


def test_a_job_of_an_evaluation_that_is_over_writes_nothing(job: Job) -> None:
    held = take()
    Evaluation.objects.update(stage=Stage.CANCELLED)
    with pytest.raises(jobs.LeaseLost), jobs.guarded(held):
        pytest.fail("it wrote")


def test_a_stale_worker_does_not_even_move_the_stage(job: Job, monkeypatch) -> None:
    """What is first written by a job is guarded too: its worker may have slept for an hour."""
    stale = take()
    expire(job)
    take(worker="b")
    monkeypatch.setattr(jobs, "claim", lambda *_, **__: stale)
    monkeypatch.setitem(working.STEPS, JobKind.BUILD, lambda *_: pytest.fail("it worked"))
    working.work("build", worker="a")
    job.evaluation.refresh_from_db()
    assert job.evaluation.stage == Stage.QUEUED


def test_a_retried_job_waits_longer_each_time_and_gives_up(job: Job) -> None:
    for attempt in range(1, jobs.MAX_ATTEMPTS + 1):
        held = take()
        assert held.job.attempt == attempt
        with jobs.guarded(held) as mine:
            assert jobs.retry_later(mine, log=f"try {attempt}") is (attempt < jobs.MAX_ATTEMPTS)
        assert jobs.claim("build", worker="a") is None
        make_due(job)
    job.refresh_from_db()
    assert "try 1" in job.log
    assert "try 2" in job.log


def test_what_is_given_back_is_no_attempt_but_not_for_ever(job: Job) -> None:
    for _ in range(jobs.MAX_FREE_CLAIMS):
        held = take()
        assert held.job.attempt == 1
        with jobs.guarded(held) as mine:
            jobs.give_back(mine, log="the worker leaves")
    for attempt in range(1, 4):
        held = take()
        assert held.job.attempt == attempt
        with jobs.guarded(held) as mine:
            jobs.give_back(mine, log="the worker leaves")


def test_the_log_is_capped_and_keeps_both_ends(job: Job) -> None:
    held = take()
    for number in range(3):
        held.log.add(f"part {number} " + "x" * logs.LIMIT)
    with jobs.guarded(held) as mine:
        jobs.finish(mine, log="the end")
    job.refresh_from_db()
    assert len(job.log) == logs.LIMIT
    assert job.log.startswith("--- attempt 1 on a\npart 0")
    assert job.log.endswith("the end\n")
    assert job.log.count(logs.GAP) == 1


def test_a_log_keeps_what_the_database_cannot() -> None:
    log = logs.Log("before\n")
    log.add("nul \0, surrogate \ud800, \U0001f40d")
    assert log.text() == "before\nnul \ufffd, surrogate \ufffd, \U0001f40d\n"
    assert not log.is_new


@pytest.mark.parametrize(
    ("error", "attempts", "status", "words"),
    [
        (EnvironmentFault("the entry is missing"), 1, JobStatus.FAILED, "the entry is missing"),
        (ModelUnavailable("nothing listens"), 3, JobStatus.DEAD, "nothing listens Tried 3 times."),
        (ZeroDivisionError(), 3, JobStatus.DEAD, "not the environment's fault. Tried 3 times."),
    ],
)
def test_who_is_at_fault_decides_whether_it_is_tried_again(
    job: Job, monkeypatch, error: Exception, attempts: int, status: JobStatus, words: str
) -> None:
    def step(*_: object) -> None:
        raise error

    monkeypatch.setitem(working.STEPS, JobKind.BUILD, step)
    for _ in range(5):
        working.work("build", worker="a")
        make_due(job)
    job.refresh_from_db()
    assert (job.status, job.attempt) == (status, attempts)
    assert job.log.count("--- attempt") == attempts
    evaluation = job.evaluation
    evaluation.refresh_from_db()
    assert evaluation.stage == Stage.FAILED
    assert words in evaluation.fault
    assert evaluation.version.status == "failed"


def test_a_job_whose_workers_always_die_is_dead_in_the_end(job: Job, monkeypatch) -> None:
    monkeypatch.setitem(working.STEPS, JobKind.BUILD, lambda *_: pytest.fail("it worked"))
    for _ in range(jobs.MAX_ATTEMPTS):
        take()
        expire(job)
    assert working.work("build", worker="a")
    job.refresh_from_db()
    job.evaluation.refresh_from_db()
    assert job.status == JobStatus.DEAD
    assert "workers died" in job.log
    assert job.evaluation.stage == Stage.FAILED
    assert "workers died" in job.evaluation.fault
    assert not working.work("build", worker="a")


def test_the_sweeper_begins_forgotten_versions(monkeypatch) -> None:
    monkeypatch.setattr(jobs, "top_up", lambda *_: None)
    make_model()
    version = make_version()
    sweeping.sweep()
    assert not version.evaluations.exists(), "its own message is still on its way"
    type(version).objects.filter(pk=version.pk).update(created=Now() - timedelta(minutes=5))
    sweeping.sweep()
    assert version.evaluations.get().jobs.get().status == JobStatus.QUEUED
    sweeping.begin(version.pk)
    assert version.evaluations.count() == 1


def test_versions_that_cannot_begin_do_not_keep_jobs_from_being_woken(
    job: Job, monkeypatch
) -> None:
    version = make_version()
    type(version).objects.filter(pk=version.pk).update(created=Now() - timedelta(minutes=5))
    Profile.objects.update(is_default=False)
    topped: list[str] = []
    monkeypatch.setattr(jobs, "top_up", lambda queue, most: topped.append(queue))
    sweeping.sweep()
    assert topped == list(KINDS)


@pytest.mark.parametrize(
    ("waiting", "sent"), [(0, 3), (1, 2), (3, 0), (sweeping.MOST_MESSAGES, 0), (None, 0)]
)
def test_as_many_messages_wait_as_there_are_jobs(
    monkeypatch, waiting: int | None, sent: int
) -> None:
    for _ in range(3):
        make_evaluation()
    times: list[int] = []
    monkeypatch.setattr(waking, "waiting", lambda queue: waiting)
    monkeypatch.setattr(waking, "wake", lambda queue, number: times.append(max(0, number)))
    jobs.top_up("build", sweeping.MOST_MESSAGES)
    assert sum(times) == sent


def test_a_long_queue_gets_no_more_messages_than_there_could_be_workers(monkeypatch) -> None:
    first = make_evaluation()
    owner = first.version.environment.owner
    Job.objects.bulk_create(
        Job(evaluation=first, owner=owner, kind=JobKind.ROLLOUTS, shard=shard)
        for shard in range(500)
    )
    times: list[int] = []
    monkeypatch.setattr(waking, "waiting", lambda queue: 0)
    monkeypatch.setattr(waking, "wake", lambda queue, number: times.append(number))
    jobs.top_up("rollouts", sweeping.MOST_MESSAGES)
    assert times == [sweeping.MOST_MESSAGES]


def test_the_same_evaluation_is_not_started_twice() -> None:
    evaluation = make_evaluation()
    assert services.start(version=evaluation.version, actor=None) == evaluation


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_back", [False, True])
def test_a_database_that_went_away_is_no_attempt_even_if_it_is_back(
    job: Job, monkeypatch, is_back: bool
) -> None:
    def step(*_: object) -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        finally:
            if is_back:
                connection.close()
                connection.ensure_connection()

    monkeypatch.setitem(working.STEPS, JobKind.BUILD, step)
    working.work("build", worker="a")
    job.refresh_from_db()
    assert (job.status, job.attempt, job.token) == (JobStatus.QUEUED, 0, 1)
    assert "the database went away" in job.log


@pytest.mark.django_db(transaction=True)
def test_of_many_workers_one_gets_the_job() -> None:
    make_evaluation()
    names = iter("abcdefgh")
    claims = at_once(8, lambda: jobs.claim("build", worker=next(names)))
    assert len([held for held in claims if held is not None]) == 1


@pytest.mark.django_db(transaction=True)
def test_a_beating_job_shows_its_log_and_notices_a_cancellation(monkeypatch) -> None:
    monkeypatch.setattr(beating, "POLL_S", 0.05)
    job = make_evaluation().jobs.get()
    held = take()
    with Heartbeat(held) as heartbeat:
        heartbeat.say("halfway")
        until(lambda: "halfway" in Job.objects.get(pk=job.pk).log, 5)
        heartbeat.check()
        jobs.cancel_all(job.evaluation)
        with pytest.raises(jobs.LeaseLost):
            while True:
                heartbeat.check()
                time.sleep(0.05)


@pytest.mark.django_db(transaction=True)
def test_a_database_that_goes_away_for_a_moment_costs_no_lease(monkeypatch) -> None:
    monkeypatch.setattr(beating, "POLL_S", 0.05)
    make_evaluation()
    held, failures, real = take(), [True] * 5, jobs.held_row

    def broken(claimed: jobs.Claim) -> object:
        if failures:
            failures.pop()
            raise OperationalError("the server closed the connection")
        return real(claimed)

    monkeypatch.setattr(jobs, "held_row", broken)
    with Heartbeat(held) as heartbeat:
        until(lambda: not failures, 5)
        time.sleep(0.2)
        heartbeat.check()


@pytest.mark.django_db(transaction=True)
def test_no_job_is_added_to_an_evaluation_that_is_being_ended() -> None:
    """A build that ends while its evaluation is cancelled leaves no open job behind."""
    evaluation = make_evaluation()
    held = take()
    inside, ended = threading.Event(), threading.Event()

    def build() -> None:
        with jobs.guarded(held) as job:
            inside.set()
            ended.wait(0.3)
            services.built(job)
            jobs.finish(job)
        connection.close()

    thread = threading.Thread(target=build)
    thread.start()
    inside.wait()
    services.fail(evaluation, fault="enough")
    ended.set()
    thread.join()
    assert set(evaluation.jobs.values_list("kind", "status")) == {
        ("build", "done"),
        ("inspect", "cancelled"),
    }


def test_a_broker_that_is_away_stops_neither_workers_nor_the_sweeper(
    job: Job, monkeypatch, tmp_path: Path
) -> None:
    away = f"redis+socket://{tmp_path}/no.sock"
    monkeypatch.setattr(
        app,
        "connection_for_write",
        lambda *_, **__: Connection(away, transport_options=app.conf.broker_transport_options),
    )
    monkeypatch.setattr(app, "_pool", None)
    monkeypatch.setattr(app.amqp, "_producer_pool", None)
    began = time.monotonic()
    assert waking.waiting("build") is None
    assert not waking.wake("build")
    sweeping.sweep()
    assert time.monotonic() - began < 10
    monkeypatch.setitem(working.STEPS, JobKind.BUILD, lambda *_: None)
    assert working.work("build", worker="a")
