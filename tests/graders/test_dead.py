"""Dead jobs: kept with their logs, and put back by an operator."""

import pytest
from django.test import Client
from django.urls import reverse

from environments.models import Version
from graders import jobs, operations, services, working
from graders.errors import PlatformFault
from graders.models import Evaluation, Job
from graders.states import JOB_TRANSITIONS, OPEN_STATUSES, JobKind, JobStatus, Stage
from hub.accounts.models import User
from hub.audit.models import Event
from hub.errors import Refused
from tests.factories import make_moderator
from tests.graders.leases import make_due, take

pytestmark = pytest.mark.django_db


@pytest.fixture
def moderator(db: None) -> User:
    return make_moderator(is_staff=True)


@pytest.fixture
def dead(job: Job, monkeypatch) -> Job:
    """The second of three shards, dead; the first is done, the last was cancelled by its death."""
    evaluation = job.evaluation
    with jobs.guarded(take()) as mine:
        services.enter(mine)
        jobs.finish(mine)
    for shard in range(3):
        jobs.add(evaluation, JobKind.ROLLOUTS, shard)
    Evaluation.objects.filter(pk=evaluation.pk).update(stage=Stage.INSPECTING)
    Version.objects.filter(pk=evaluation.version_id).update(status="inspecting")
    with jobs.guarded(take("rollouts")) as mine:
        services.enter(mine)
        jobs.finish(mine)

    def step(*_: object) -> None:
        raise PlatformFault("The disk is on fire.")

    monkeypatch.setitem(working.STEPS, JobKind.ROLLOUTS, step)
    second = evaluation.jobs.get(kind=JobKind.ROLLOUTS, shard=1)
    for _ in range(jobs.MAX_ATTEMPTS):
        assert working.work("rollouts", worker="a")
        make_due(second)
    return Job.objects.get(pk=second.pk)


def states(evaluation: Evaluation) -> list[str]:
    rollouts = evaluation.jobs.filter(kind=JobKind.ROLLOUTS).order_by("shard")
    return list(rollouts.values_list("status", flat=True))


def test_every_state_of_a_job_is_in_the_table() -> None:
    assert set(JOB_TRANSITIONS) == set(JobStatus)
    ends = {status for status in JobStatus if status not in OPEN_STATUSES}
    assert ends == {JobStatus.DONE, JobStatus.FAILED, JobStatus.DEAD, JobStatus.CANCELLED}


def test_a_dead_job_keeps_its_log_and_fails_its_evaluation(dead: Job) -> None:
    assert states(dead.evaluation) == ["done", "dead", "cancelled"]
    assert dead.log.count("The disk is on fire.") == 3
    assert dead.evaluation.stage == Stage.FAILED
    assert dead.evaluation.version.status == "failed"


def test_it_is_put_back_with_what_its_death_had_cancelled(
    dead: Job, moderator: User, monkeypatch
) -> None:
    operations.requeue(job=dead, actor=moderator, reason="a new disk")
    evaluation = Evaluation.objects.get(pk=dead.evaluation_id)
    assert states(evaluation) == ["done", "queued", "queued"]
    assert (evaluation.stage, evaluation.fault, evaluation.finished) == (Stage.RUNNING, "", None)
    assert Version.objects.get(pk=evaluation.version_id).status == "running"
    event = Event.objects.get(action="job.requeued")
    assert (event.actor_name, event.data) == ("mo", {"reason": "a new disk"})
    dead.refresh_from_db()
    assert dead.attempt == 0
    assert "put back by mo: a new disk" in dead.log
    assert "The disk is on fire." in dead.log

    def step(held: jobs.Claim, _: object) -> None:
        with jobs.guarded(held) as job:
            jobs.finish(job)
            services.rolled_out(job)

    monkeypatch.setitem(working.STEPS, JobKind.ROLLOUTS, step)
    while working.work("rollouts", worker="b"):
        pass
    assert states(evaluation) == ["done", "done", "done"]
    assert evaluation.jobs.get(kind=JobKind.SUMMARISE).status == JobStatus.QUEUED


def test_only_dead_jobs_are_put_back(dead: Job, moderator: User) -> None:
    done = dead.evaluation.jobs.get(kind=JobKind.ROLLOUTS, shard=0)
    with pytest.raises(Refused, match="only dead jobs"):
        operations.requeue(job=done, actor=moderator)
    operations.requeue(job=dead, actor=moderator)
    with pytest.raises(Refused, match="only dead jobs"):
        operations.requeue(job=dead, actor=moderator)


def test_it_is_not_put_back_beside_the_same_evaluation_anew(dead: Job, moderator: User) -> None:
    services.start(version=dead.evaluation.version, actor=None)
    with pytest.raises(Refused, match="under way again"):
        operations.requeue(job=dead, actor=moderator)
    assert states(dead.evaluation) == ["done", "dead", "cancelled"]


def test_it_is_not_put_back_when_its_version_is_not_to_be_run(dead: Job, moderator: User) -> None:
    Version.objects.update(review="quarantined", review_reason="Evil.")
    with pytest.raises(Refused, match="quarantined"):
        operations.requeue(job=dead, actor=moderator)


def test_the_administration_finds_dead_jobs_and_puts_them_back(
    client: Client, dead: Job, moderator: User
) -> None:
    client.force_login(moderator)
    address = reverse("admin:graders_job_changelist")
    found = client.get(f"{address}?status__exact=dead")
    assert [job.pk for job in found.context["cl"].result_list] == [dead.pk]
    asked = {"action": "requeue", "_selected_action": [dead.pk]}
    assert "Try again?" in client.post(address, asked).content.decode()
    client.post(address, asked | {"decided": "1", "reason": "a new disk"})
    dead.refresh_from_db()
    assert dead.status == JobStatus.QUEUED
