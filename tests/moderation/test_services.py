"""What moderators decide, and what they may not."""

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.test import Client

from environments.states import Review, Status
from graders import operations
from graders.models import Profile, ReferenceModel
from graders.services import start
from graders.states import JobStatus, Stage
from hub.accounts.models import ApiToken
from hub.accounts.services import create_token
from hub.audit.models import Event
from hub.errors import Refused
from hub.moderation import services
from tests.factories import make_evaluation, make_moderator, make_version

ACTS = [services.approve, services.reject, services.quarantine]


def test_the_group_of_moderators_may_moderate(db):
    group = Group.objects.get(name="moderators")
    assert [permission.codename for permission in group.permissions.all()] == ["moderate"]


def test_decisions_are_recorded(owner, moderator):
    version = make_version(owner)
    services.approve(version=version, actor=moderator)
    assert version.review == Review.APPROVED
    assert version.environment.latest == version
    services.quarantine(version=version, actor=moderator, reason="It phones home.")
    assert (version.review, version.review_reason) == (Review.QUARANTINED, "It phones home.")
    version.environment.refresh_from_db()
    assert version.environment.latest is None
    events = Event.objects.filter(action__startswith="version.").order_by("id")
    assert [(event.action, event.actor_name) for event in events] == [
        ("version.approved", "mo"),
        ("version.quarantined", "mo"),
    ]
    assert events[1].data == {"reason": "It phones home."}


@pytest.mark.parametrize("act", ACTS)
def test_only_moderators_decide(owner, act):
    version = make_version(owner)
    with pytest.raises(PermissionDenied):
        act(version=version, actor=owner, reason="Mine.")
    version.refresh_from_db()
    assert version.review == Review.PENDING
    assert not Event.objects.filter(action__startswith="version.").exists()


@pytest.mark.parametrize("act", ACTS[1:])
def test_a_refusal_needs_a_reason(owner, moderator, act):
    version = make_version(owner)
    with pytest.raises(Refused):
        act(version=version, actor=moderator, reason="  ")
    version.refresh_from_db()
    assert version.review == Review.PENDING


def test_a_decision_is_made_once(owner, moderator):
    version = make_version(owner)
    services.approve(version=version, actor=moderator)
    with pytest.raises(Refused) as refusal:
        services.approve(version=version, actor=moderator)
    assert refusal.value.status == 409


def test_a_ban_ends_sessions_and_tokens(owner, moderator):
    browser, other = Client(), Client()
    browser.force_login(owner)
    other.force_login(moderator)
    create_token(user=owner, name="laptop", actor=owner)
    create_token(user=moderator, name="mine", actor=moderator)
    services.ban(user=owner, actor=moderator, reason="Spam.")
    assert not owner.is_active
    assert browser.get("/accounts/tokens/").status_code == 302
    assert other.get("/accounts/tokens/").status_code == 200
    assert [token.name for token in ApiToken.objects.all()] == ["mine"]
    event = Event.objects.get(action="user.banned")
    assert (event.actor_name, event.target_name, event.data) == ("mo", "ada", {"reason": "Spam."})
    assert Event.objects.filter(action="token.revoked", actor_name="mo").exists()


def test_after_a_ban_is_lifted_old_sessions_stay_dead(owner, moderator):
    browser = Client()
    browser.force_login(owner)
    services.ban(user=owner, actor=moderator, reason="Spam.")
    services.unban(user=owner, actor=moderator)
    assert owner.is_active
    assert browser.get("/accounts/tokens/").status_code == 302
    browser.force_login(owner)
    assert browser.get("/accounts/tokens/").status_code == 200


def test_who_may_not_be_banned_by_whom(owner, moderator, boss):
    second = make_moderator("second")
    for actor, user in [(owner, second), (moderator, moderator), (moderator, second)]:
        with pytest.raises(PermissionDenied):
            services.ban(user=user, actor=actor, reason="No.")
    with pytest.raises(PermissionDenied):
        services.ban(user=boss, actor=moderator, reason="No.")
    services.ban(user=second, actor=boss, reason="Left.")
    assert not second.is_active


def test_a_ban_needs_a_reason_and_somebody_who_is_in(owner, moderator):
    with pytest.raises(Refused):
        services.ban(user=owner, actor=moderator, reason=" ")
    services.ban(user=owner, actor=moderator, reason="Spam.")
    with pytest.raises(Refused):
        services.ban(user=owner, actor=moderator, reason="Spam.")


def test_cancelling_an_evaluation(owner, moderator):
    version = make_version(owner)
    evaluation = make_evaluation(version)
    operations.cancel(evaluation=evaluation, actor=moderator, reason="Too long.")
    assert evaluation.stage == Stage.CANCELLED
    assert evaluation.finished is not None
    assert {job.status for job in evaluation.jobs.all()} == {JobStatus.CANCELLED}
    version.refresh_from_db()
    assert version.status == Status.FAILED
    assert version.fault.endswith("Too long.")
    with pytest.raises(Refused):
        operations.cancel(evaluation=evaluation, actor=moderator, reason="Again.")


def test_another_evaluation_under_way_decides_about_the_version(owner, moderator):
    version = make_version(owner)
    first = make_evaluation(version)
    model = ReferenceModel.objects.create(name="second", base_url="http://x", model="x")
    start(version=version, actor=None, model=model)
    operations.cancel(evaluation=first, actor=moderator, reason="Wrong model.")
    version.refresh_from_db()
    assert version.status == Status.UPLOADED


def test_there_is_one_default(boss, db):
    evaluation = make_evaluation()
    other = ReferenceModel.objects.create(name="other", base_url="http://x", model="x")
    operations.make_default(target=other, actor=boss)
    assert [model.name for model in ReferenceModel.objects.filter(is_default=True)] == ["other"]
    standard = Profile.objects.get(name="standard")
    operations.make_default(target=standard, actor=boss)
    assert [profile.name for profile in Profile.objects.filter(is_default=True)] == ["standard"]
    disabled = evaluation.model
    ReferenceModel.objects.filter(pk=disabled.pk).update(is_enabled=False)
    disabled.refresh_from_db()
    with pytest.raises(Refused):
        operations.make_default(target=disabled, actor=boss)
