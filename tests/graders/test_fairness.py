"""Whose turn it is: owners share the workers, and no owner's long queue is another's."""

from collections import Counter

import pytest
from django.db import connection, transaction

from graders import jobs, scheduling, working
from graders.models import Job
from graders.states import KINDS, JobKind, JobStatus, Stage
from hub.accounts.models import Quota, User
from tests.factories import make_evaluation, make_user, make_version
from tests.graders.leases import expire, take
from tests.racing import at_once

pytestmark = pytest.mark.django_db


def submit(owner: User, times: int = 1) -> list[Job]:
    """The first jobs of an owner's new evaluations."""
    return [make_evaluation(make_version(owner)).jobs.get() for _ in range(times)]


def owners(*queues: str) -> list[str]:
    """Whose jobs are taken, one after the other, until there is none."""
    found = []
    for queue in queues:
        while held := jobs.claim(queue, worker="w"):
            found.append(held.job.owner.username)
    return found


@pytest.fixture
def many(settings) -> None:
    """Nobody waits for their own evaluations."""
    settings.QUOTAS = settings.QUOTAS | {"running_evaluations": 1000}


def test_an_owner_who_submits_many_does_not_delay_another_ones_single_version(many: None) -> None:
    ada, bob = make_user("ada"), make_user("bob")
    submit(ada, 20)
    running = [take().job.owner for _ in range(3)]
    submit(bob)
    assert running == [ada] * 3
    assert take().job.owner == bob, "it waited for nothing but what ran already"
    assert take().job.owner == ada


def test_owners_take_turns(many: None) -> None:
    ada, bob, cid = make_user("ada"), make_user("bob"), make_user("cid")
    submit(ada, 4)
    submit(bob, 2)
    submit(cid, 1)
    assert owners("build") == ["ada", "bob", "cid", "ada", "bob", "ada", "ada"]


def test_what_is_older_goes_first_and_an_evaluation_in_order(many: None) -> None:
    ada = make_user("ada")
    first, second = submit(ada, 2)
    for job in (second, first):
        Job.objects.filter(pk=job.pk).update(status=JobStatus.DONE, finished=job.created)
        for shard in (1, 0):
            jobs.add(job.evaluation, JobKind.ROLLOUTS, shard)
    taken = [take("rollouts").job for _ in range(4)]
    assert [(job.evaluation_id, job.shard) for job in taken] == [
        (first.evaluation_id, 1),
        (first.evaluation_id, 0),
        (second.evaluation_id, 1),
        (second.evaluation_id, 0),
    ]


def test_a_short_job_does_not_wait_behind_long_ones_of_others(many: None) -> None:
    ada, bob = make_user("ada"), make_user("bob")
    long, short = submit(ada)[0], submit(bob)[0]
    for shard in range(20):
        jobs.add(long.evaluation, JobKind.ROLLOUTS, shard)
    jobs.add(short.evaluation, JobKind.SUMMARISE)
    assert take("stats").job.owner == bob


def test_who_serves_several_queues_takes_what_is_short_first(many: None) -> None:
    ada = make_user("ada")
    first, second = submit(ada, 2)
    Job.objects.filter(pk=first.pk).update(status=JobStatus.DONE, finished=first.created)
    jobs.add(first.evaluation, JobKind.ROLLOUTS)
    jobs.add(first.evaluation, JobKind.SUMMARISE)
    taken = [jobs.claim(*KINDS, worker="w") for _ in range(3)]
    assert [(held.job.kind, held.job.evaluation_id) for held in taken if held] == [
        (JobKind.SUMMARISE, first.evaluation_id),
        (JobKind.BUILD, second.evaluation_id),
        (JobKind.ROLLOUTS, first.evaluation_id),
    ]


def test_turns_hold_across_queues(many: None) -> None:
    """One owner's summaries and builds do not keep another's rollouts waiting."""
    ada, bob = make_user("ada"), make_user("bob")
    submit(ada, 3)
    (long,) = submit(bob)
    Job.objects.filter(pk=long.pk).update(status=JobStatus.DONE, finished=long.created)
    jobs.add(long.evaluation, JobKind.ROLLOUTS)
    taken = [jobs.claim(*KINDS, worker="w") for _ in range(4)]
    assert [held.job.owner for held in taken if held] == [ada, bob, ada, ada]


def test_a_message_that_leads_to_another_queues_job_is_not_lost(many: None, monkeypatch) -> None:
    """The builder's message woke a worker that found something shorter: builders still hear."""
    (other,) = submit(make_user("bob"))
    Job.objects.filter(pk=other.pk).update(kind=JobKind.SUMMARISE)
    topped: list[str] = []
    monkeypatch.setattr(jobs, "top_up", topped.append)

    def step(*_: object) -> None:
        topped.append("the step")

    monkeypatch.setattr(scheduling, "fairest", lambda *_: Job.objects.get(pk=other.pk))
    monkeypatch.setitem(working.STEPS, JobKind.SUMMARISE, step)
    assert working.work("build", "rollouts", "stats", "build", worker="w")
    assert topped == ["build", "the step", "build", "rollouts", "stats"]


def test_a_worker_that_died_no_longer_counts_against_its_owner(many: None) -> None:
    ada, bob = make_user("ada"), make_user("bob")
    first, _ = submit(ada, 2)
    submit(bob, 2)
    assert take().job == first
    expire(first)
    assert take().job == first, "taken over: the oldest, of an owner with nothing running"


def test_more_evaluations_than_allowed_wait_until_one_is_over(settings) -> None:
    settings.QUOTAS = settings.QUOTAS | {"running_evaluations": 2}
    ada = make_user("ada")
    first, second, third = submit(ada, 3)
    assert [take().job, take().job] == [first, second]
    assert jobs.claim("build", worker="w") is None
    assert scheduling.count("build", 10) == 0, "nobody is woken in vain"
    # Between two of its steps an evaluation keeps its place.
    Job.objects.filter(pk=first.pk).update(
        status=JobStatus.DONE, finished=first.created, lease_until=None
    )
    jobs.add(first.evaluation, JobKind.INSPECT)
    assert take().job.kind == JobKind.INSPECT
    assert jobs.claim("build", worker="w") is None
    jobs.cancel_all(first.evaluation)
    assert take().job == third
    assert second.evaluation.stage == Stage.QUEUED


@pytest.mark.parametrize(
    ("fields", "own", "allowed"),
    [
        ({}, None, 2),
        ({"is_trusted": True}, None, 6),
        ({"is_superuser": True}, None, 9),
        ({}, 4, 4),
        ({"is_trusted": True}, 1, 1),
        ({"is_superuser": True}, 0, 0),
    ],
)
def test_some_owners_may_run_more_at_once(
    settings, fields: dict[str, bool], own: int | None, allowed: int
) -> None:
    settings.QUOTAS = settings.QUOTAS | {"running_evaluations": 2}
    settings.QUOTA_TRUSTED_FACTOR = 3
    ada = make_user("ada", **fields)
    if own is not None:
        Quota.objects.create(user=ada, running_evaluations=own)
    submit(ada, 9)
    assert len(owners("build")) == allowed
    assert scheduling.begun(ada) == allowed


@pytest.mark.django_db(transaction=True)
def test_eight_workers_at_the_same_moment_are_fair_and_take_each_job_once(settings) -> None:
    settings.QUOTAS = settings.QUOTAS | {"running_evaluations": 20}
    people = [make_user(name) for name in ("ada", "bob", "cid", "dan")]
    submit(people[0], 40)
    for person in people[1:]:
        submit(person, 10)
    turns = at_once(8, lambda: [take().job for _ in range(3)])
    taken = [job for turn in turns for job in turn]
    assert len({job.pk for job in taken}) == 24
    assert Counter(job.owner.username for job in taken) == dict.fromkeys(
        ("ada", "bob", "cid", "dan"), 6
    )


@pytest.mark.django_db(transaction=True)
def test_the_limit_holds_for_workers_at_the_same_moment(settings) -> None:
    settings.QUOTAS = settings.QUOTAS | {"running_evaluations": 3}
    submit(make_user("ada"), 16)
    taken = at_once(8, lambda: jobs.claim("build", worker="w"))
    assert len([held for held in taken if held is not None]) == 3


def test_a_claim_among_ten_thousand_open_jobs_looks_nothing_up_for_each_of_them() -> None:
    people = [make_user(f"p{number}") for number in range(10)]
    evaluations = [submit(person)[0].evaluation for person in people]
    Job.objects.bulk_create(
        Job(evaluation=evaluation, owner=person, kind=JobKind.ROLLOUTS, shard=shard)
        for person, evaluation in zip(people, evaluations, strict=True)
        for shard in range(1000)
    )
    with transaction.atomic():
        assert scheduling.fairest("rollouts").owner == people[0]
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE graders_job")
        cursor.execute(
            f"EXPLAIN (ANALYZE, FORMAT JSON) {scheduling._SQL} FOR UPDATE OF job SKIP LOCKED",
            scheduling._parameters(["rollouts"], 1),
        )
        plan = cursor.fetchone()[0][0]
    assert max(node["Actual Loops"] for node in nodes(plan["Plan"])) <= len(people), plan


def nodes(plan: dict) -> list[dict]:
    """A plan's steps, all of them."""
    return [plan, *(node for part in plan.get("Plans", []) for node in nodes(part))]
