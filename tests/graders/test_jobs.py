"""The job engine: one holder at a time, stale holders refused, nothing forgotten."""

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now

from graders import jobs, services, sweeping, working
from graders.errors import EnvironmentFault, ModelUnavailable
from graders.models import Job
from graders.states import JobStatus, Stage
from tests.factories import make_evaluation, make_model, make_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def job() -> Job:
    return make_evaluation().jobs.get()


def expire(job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(lease_until=Now() - timedelta(seconds=1))


def test_a_job_is_claimed_once(job: Job) -> None:
    held = jobs.claim(job_id=job.pk, worker="a")
    assert held is not None
    assert (held.token, held.job.attempt, held.job.status) == (1, 1, JobStatus.RUNNING)
    assert jobs.claim(job_id=job.pk, worker="b") is None


def test_a_job_whose_lease_ran_out_is_taken_over_and_the_old_token_is_refused(job: Job) -> None:
    first = jobs.claim(job_id=job.pk, worker="a")
    expire(job)
    second = jobs.claim(job_id=job.pk, worker="b")
    assert second.token == first.token + 1
    assert not jobs.extend(first)
    with pytest.raises(jobs.LeaseLost), jobs.guarded(first):
        pytest.fail("a stale token wrote")
    with jobs.guarded(second) as mine:
        jobs.finish(mine)
    job.refresh_from_db()
    assert job.status == JobStatus.DONE


def test_a_heartbeat_keeps_the_lease(job: Job) -> None:
    held = jobs.claim(job_id=job.pk, worker="a")
    expire(job)
    assert jobs.extend(held)
    assert jobs.claim(job_id=job.pk, worker="b") is None


def test_a_cancelled_job_refuses_its_worker(job: Job) -> None:
    held = jobs.claim(job_id=job.pk, worker="a")
    jobs.cancel_all(job.evaluation)
    with pytest.raises(jobs.LeaseLost), jobs.guarded(held):
        pytest.fail("a cancelled job wrote")


def test_a_retried_job_waits_longer_each_time_and_gives_up(job: Job) -> None:
    for attempt in range(1, jobs.MAX_ATTEMPTS + 1):
        held = jobs.claim(job_id=job.pk, worker="a")
        assert held.job.attempt == attempt
        with jobs.guarded(held) as mine:
            assert jobs.retry_later(mine, log=f"try {attempt}") is (attempt < jobs.MAX_ATTEMPTS)
        assert jobs.claim(job_id=job.pk, worker="a") is None
        Job.objects.filter(pk=job.pk).update(not_before=None)
    job.refresh_from_db()
    assert "try 1" in job.log
    assert "try 2" in job.log


def test_the_log_is_capped(job: Job) -> None:
    held = jobs.claim(job_id=job.pk, worker="a")
    with jobs.guarded(held) as mine:
        jobs.finish(mine, log="x" * (2 * jobs.LOG_LIMIT))
    job.refresh_from_db()
    assert len(job.log) == jobs.LOG_LIMIT


@pytest.mark.parametrize(
    ("error", "attempts", "words"),
    [
        (EnvironmentFault("the entry is missing"), 1, "the entry is missing"),
        (ModelUnavailable("nothing listens"), 3, "nothing listens Tried 3 times."),
        (ZeroDivisionError(), 3, "not the environment's fault. Tried 3 times."),
    ],
)
def test_who_is_at_fault_decides_whether_it_is_tried_again(
    job: Job, monkeypatch, error: Exception, attempts: int, words: str
) -> None:
    def step(*_: object) -> None:
        raise error

    monkeypatch.setitem(working.STEPS, "build", step)
    for _ in range(5):
        working.work(job.pk, worker="a")
        Job.objects.filter(pk=job.pk).update(not_before=None)
    job.refresh_from_db()
    assert (job.status, job.attempt) == (JobStatus.FAILED, attempts)
    evaluation = job.evaluation
    evaluation.refresh_from_db()
    assert evaluation.stage == Stage.FAILED
    assert words in evaluation.fault
    assert evaluation.version.status == "failed"


def test_a_job_whose_workers_always_die_fails_in_the_end(job: Job) -> None:
    for _ in range(jobs.MAX_ATTEMPTS):
        assert jobs.claim(job_id=job.pk, worker="a")
        expire(job)
    working.work(job.pk, worker="a")
    job.evaluation.refresh_from_db()
    assert job.evaluation.stage == Stage.FAILED
    assert "workers died" in job.evaluation.fault


def test_the_sweeper_begins_forgotten_versions_and_wakes_silent_jobs(monkeypatch) -> None:
    make_model()
    version = make_version()
    sent: list[int] = []
    monkeypatch.setattr(jobs, "wake", lambda job: sent.append(job.pk))
    sweeping.sweep()
    assert not version.evaluations.exists(), "its own message is still on its way"
    type(version).objects.filter(pk=version.pk).update(created=Now() - timedelta(minutes=5))
    sweeping.sweep()
    job = version.evaluations.get().jobs.get()
    assert job.pk in sent
    sweeping.begin(version.pk)
    assert version.evaluations.count() == 1


def test_the_same_evaluation_is_not_started_twice() -> None:
    evaluation = make_evaluation()
    assert services.start(version=evaluation.version, actor=None) == evaluation


@pytest.mark.django_db(transaction=True)
def test_of_many_workers_one_gets_the_job() -> None:
    job = make_evaluation().jobs.get()
    start, claims = threading.Barrier(8), []

    def compete(name: str) -> None:
        start.wait()
        claims.append(jobs.claim(job_id=job.pk, worker=name))
        connection.close()

    threads = [threading.Thread(target=compete, args=[str(n)]) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([held for held in claims if held is not None]) == 1
