"""Cancelling: who may, how, and what is left."""

from collections.abc import Callable

import pytest
from django.test import Client
from rest_framework.response import Response

from environments.models import Version
from graders import jobs, operations, services
from graders.models import Evaluation
from graders.states import JobStatus, Stage
from hub.accounts.models import User
from hub.audit.models import Event
from hub.errors import Refused
from tests.api.conftest import client_of
from tests.factories import make_evaluation, make_moderator, make_user, make_version
from tests.graders.leases import take

pytestmark = pytest.mark.django_db


@pytest.fixture
def evaluation() -> Evaluation:
    return make_evaluation()


@pytest.fixture
def owner(evaluation: Evaluation) -> User:
    return evaluation.version.environment.owner


@pytest.fixture
def moderator(db: None) -> User:
    return make_moderator()


def by_rest(user: User, evaluation: Evaluation, **body: str) -> Response:
    return client_of(user).post(f"/api/v1/evaluations/{evaluation.pk}/cancel/", body)


def by_page(user: User, evaluation: Evaluation) -> int:
    client = Client()
    client.force_login(user)
    return client.post(f"{evaluation.get_absolute_url()}cancel/").status_code


def test_what_is_left_of_a_cancelled_evaluation(evaluation: Evaluation, owner: User) -> None:
    held = take()
    with jobs.guarded(held) as job:
        services.enter(job)
    operations.cancel(evaluation=evaluation, actor=owner, reason="wrong file")
    evaluation.refresh_from_db()
    version = Version.objects.get(pk=evaluation.version_id)
    assert (evaluation.stage, version.status) == (Stage.CANCELLED, "failed")
    assert version.fault == f"The evaluation was cancelled by {owner}: wrong file"
    job = evaluation.jobs.get()
    assert (job.status, job.lease_until) == (JobStatus.CANCELLED, None)
    assert job.finished is not None
    with pytest.raises(jobs.LeaseLost), jobs.guarded(held):
        pytest.fail("a cancelled job wrote")
    assert Event.objects.get(action="evaluation.cancelled").actor_name == owner.username
    with pytest.raises(Refused):
        operations.cancel(evaluation=evaluation, actor=owner)


def test_it_can_be_evaluated_again(evaluation: Evaluation, owner: User) -> None:
    operations.cancel(evaluation=evaluation, actor=owner)
    again = services.retry(version=evaluation.version, actor=owner)
    assert again.pk != evaluation.pk
    held = take()
    assert held.job.evaluation == again
    with jobs.guarded(held) as job:
        services.enter(job)
    assert Version.objects.get(pk=again.version_id).status == "building"
    assert jobs.claim("build", worker="b") is None


def test_the_numbers_of_an_earlier_evaluation_stay(evaluation: Evaluation, owner: User) -> None:
    Version.objects.filter(pk=evaluation.version_id).update(status="evaluated")
    operations.cancel(evaluation=evaluation, actor=owner)
    assert Version.objects.get(pk=evaluation.version_id).status == "evaluated"


@pytest.mark.parametrize("way", [by_page, lambda *args: by_rest(*args).status_code])
def test_owner_and_moderators_may(
    owner: User, moderator: User, way: Callable[[User, Evaluation], int]
) -> None:
    for person in (owner, moderator):
        evaluation = make_evaluation(make_version(owner))
        assert way(person, evaluation) in (200, 302)
        evaluation.refresh_from_db()
        assert evaluation.stage == Stage.CANCELLED


def test_others_may_not(evaluation: Evaluation, owner: User) -> None:
    other = make_user()
    assert by_rest(other, evaluation).status_code == 404, "it is not public"
    assert by_page(other, evaluation) == 404
    Version.objects.filter(pk=evaluation.version_id).update(review="approved")
    assert by_rest(other, evaluation).status_code == 403
    assert by_page(other, evaluation) == 403
    assert Client().post(f"{evaluation.get_absolute_url()}cancel/").status_code == 302
    reader = client_of(owner, "read")
    url = f"/api/v1/evaluations/{evaluation.pk}/cancel/"
    assert reader.post(url).status_code == 403, "its token may not evaluate"
    assert client_of(owner).get(url).status_code == 405
    evaluation.refresh_from_db()
    assert evaluation.is_active


def test_rest_says_how_it_stands_then(evaluation: Evaluation, owner: User) -> None:
    body = by_rest(owner, evaluation, reason="the wrong file").json()
    assert body["stage"] == "cancelled"
    assert [job["status"] for job in body["jobs"]] == ["cancelled"]
    assert by_rest(owner, evaluation).status_code == 409


def test_its_page_shows_its_jobs_while_they_run(
    client: Client, evaluation: Evaluation, owner: User
) -> None:
    address = evaluation.get_absolute_url()
    client.force_login(owner)
    held = take(worker="node7:4242")
    held.log.add("wheels: <numpy>")
    jobs.extend(held)
    html = client.get(address).content.decode()
    assert "Cancel this evaluation" in html
    part = client.get(address, headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part
    assert 'hx-trigger="every 2s"' in part
    for words in ("node7:4242", "wheels: &lt;numpy&gt;", "s ago", "running"):
        assert words in part
    Version.objects.filter(pk=evaluation.version_id).update(review="approved")
    client.logout()
    public = client.get(address).content.decode()
    assert "s ago" in public
    for words in ("node7", "numpy", "Cancel"):
        assert words not in public
    operations.cancel(evaluation=evaluation, actor=owner)
    part = client.get(address, headers={"HX-Request": "true"}).content.decode()
    assert "hx-trigger" not in part


def test_rest_shows_heartbeats_and_logs(evaluation: Evaluation, owner: User) -> None:
    held = take(worker="node7:4242")
    held.log.add("halfway")
    jobs.extend(held)
    body = client_of(owner).get(f"/api/v1/evaluations/{evaluation.pk}/").json()
    (job,) = body["jobs"]
    assert (job["status"], job["attempt"], job["worker"]) == ("running", 1, "node7:4242")
    assert job["heartbeat"] >= job["started"]
    assert job["finished"] is None
    assert "halfway" in job["log"]


def test_who_waits_reads_for_what(settings, owner: User, evaluation: Evaluation) -> None:
    settings.QUOTAS = settings.QUOTAS | {"running_evaluations": 1}
    client = client_of(owner)

    def waiting(one: Evaluation) -> str | None:
        return client.get(f"/api/v1/evaluations/{one.pk}/").json()["waiting"]

    assert waiting(evaluation) == "waiting for a worker"
    take()
    assert waiting(evaluation) is None
    second, third = (make_evaluation(make_version(owner)) for _ in range(2))
    words = f"waiting for its turn: 1 of {owner}'s is running, the most at once"
    assert waiting(second) == f"{words}; it is next"
    assert waiting(third) == f"{words}; 1 more before it"
    browser = Client()
    browser.force_login(owner)
    part = browser.get(
        f"{third.version.get_absolute_url()}progress/", headers={"HX-Request": "true"}
    )
    assert "Waiting for its turn" in part.content.decode()
