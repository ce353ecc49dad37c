"""The administration: its pages render, act, record, and keep secrets."""

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from environments.models import Version
from environments.states import Review
from graders import hosts
from graders.models import Evaluation, Profile, ReferenceModel
from graders.states import Stage
from hub.accounts.models import ApiToken, User
from hub.accounts.services import create_token
from hub.audit import services as audit
from hub.audit.models import Event
from tests.factories import make_evaluation, make_model, make_user, make_version

OURS = ["accounts", "audit", "environments", "graders"]


def browser_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def url_of(found: object, page: str = "change") -> str:
    meta = found._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_{page}", args=[found.pk])


@pytest.fixture
def full(owner) -> list[object]:
    """One row of everything that the administration shows."""
    version = make_version(owner)
    evaluation = make_evaluation(version)
    token, _ = create_token(user=owner, name="laptop", actor=owner)
    event = audit.record(actor=owner, action="test.done", target=version)
    profile, job = evaluation.profile, evaluation.jobs.get()
    host = hosts.record(hostname="one", driver="bubblewrap", pythons=["3.12"], warnings=["no <b>"])
    return [
        *(owner, version, version.environment, evaluation),
        *(evaluation.model, profile, job, token, event, host),
    ]


def test_every_page_renders(boss, full):
    browser = browser_of(boss)
    assert browser.get("/admin/").status_code == 200
    shown = {type(found) for found in full}
    registered = {m for m in admin.site._registry if m._meta.app_label in OURS}
    assert registered == shown
    for found in full:
        meta = found._meta
        changelist = reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist")
        assert browser.get(f"{changelist}?q=a").status_code == 200
        page = browser.get(url_of(found))
        assert page.status_code == 200, meta.label
        assert browser.get(url_of(found, "history")).status_code == 200


def test_hosts_are_shown_with_their_warnings_and_only_shown(boss, full):
    host, browser = full[-1], browser_of(boss)
    page = browser.get(url_of(host)).content.decode()
    assert "no &lt;b&gt;" in page
    assert "bubblewrap" in page
    assert "3.12" in page
    assert browser.post(url_of(host), {"driver": "docker"}).status_code == 403
    assert browser.get("/admin/graders/host/add/").status_code == 403


def test_nothing_can_be_deleted(boss, full):
    browser = browser_of(boss)
    for found in full:
        assert browser.post(url_of(found, "delete"), {"post": "yes"}).status_code == 403
        assert type(found).objects.filter(pk=found.pk).exists()


def test_moderators_see_what_they_decide_about_and_no_more(moderator, full):
    browser = browser_of(moderator)
    assert browser.get("/admin/").status_code == 200
    seen = {type(found).__name__ for found in full if browser.get(url_of(found)).status_code == 200}
    assert seen == {"User", "Version", "Environment", "Evaluation", "Job", "Event"}
    answer = browser.post(url_of(full[0]), {"is_superuser": "on"})
    assert answer.status_code == 403


def test_others_do_not_get_in(owner, full):
    for found in full:
        assert browser_of(owner).get(url_of(found)).status_code == 302


@pytest.mark.parametrize(
    ("act", "review"),
    [
        ("approve", Review.APPROVED),
        ("reject", Review.REJECTED),
        ("quarantine", Review.QUARANTINED),
    ],
)
def test_deciding_on_a_version(moderator, owner, act, review):
    version = make_version(owner)
    browser = browser_of(moderator)
    page = browser.get(url_of(version))
    url = f"{url_of(version).removesuffix('change/')}{act}/"
    assert url in page.content.decode()
    assert browser.get(url).status_code == 200
    version.refresh_from_db()
    assert version.review == Review.PENDING  # asking decides nothing
    answer = browser.post(url, {"decided": "1", "reason": "It leaks."}, follow=True)
    assert str(version) in answer.content.decode()
    version.refresh_from_db()
    assert version.review == review
    assert Event.objects.get(action=f"version.{review}").actor_name == "mo"


def test_a_refusal_without_a_reason_asks_for_one(moderator, owner):
    version = make_version(owner)
    url = f"{url_of(version).removesuffix('change/')}reject/"
    answer = browser_of(moderator).post(url, {"decided": "1", "reason": ""})
    assert "Say why" in answer.content.decode()
    version.refresh_from_db()
    assert version.review == Review.PENDING


def test_deciding_on_several_versions(moderator, owner):
    versions = [make_version(owner) for _ in range(3)]
    url = reverse("admin:environments_version_changelist")
    chosen = {"action": "reject_all", "_selected_action": [version.pk for version in versions[:2]]}
    browser = browser_of(moderator)
    page = browser.post(url, chosen)
    assert str(versions[0]) in page.content.decode()
    assert 'name="_selected_action"' in page.content.decode()
    browser.post(url, chosen | {"decided": "1", "reason": "Copies."})
    refused = Version.objects.filter(review=Review.REJECTED)
    assert {version.pk for version in refused} == {version.pk for version in versions[:2]}


def test_a_staff_member_who_does_not_moderate_decides_nothing(owner):
    staff = make_user("staff", is_staff=True)
    staff.user_permissions.add(Permission.objects.get(codename="view_version"))
    version = make_version(owner)
    browser = browser_of(staff)
    assert browser.get(url_of(version)).status_code == 200
    url = f"{url_of(version).removesuffix('change/')}approve/"
    assert browser.post(url, {"decided": "1"}).status_code == 403


def test_locking_out_and_letting_in(moderator, owner):
    browser, hers = browser_of(moderator), browser_of(owner)
    base = url_of(owner).removesuffix("change/")
    browser.post(f"{base}ban/", {"decided": "1", "reason": "Spam."})
    owner.refresh_from_db()
    assert not owner.is_active
    assert hers.get("/accounts/tokens/").status_code == 302
    browser.post(f"{base}unban/", {"decided": "1"})
    owner.refresh_from_db()
    assert owner.is_active


def test_a_moderator_does_not_lock_out_an_administrator(moderator, boss):
    base = url_of(boss).removesuffix("change/")
    answer = browser_of(moderator).post(f"{base}ban/", {"decided": "1", "reason": "Mine now."})
    assert answer.status_code == 403
    boss.refresh_from_db()
    assert boss.is_active


def test_changing_a_person_is_recorded(boss, owner):
    quota = {"quota-TOTAL_FORMS": "0", "quota-INITIAL_FORMS": "0"}
    answer = browser_of(boss).post(
        url_of(owner), {"email": "ada@example.org", "is_trusted": "on", "is_active": ""} | quota
    )
    assert answer.status_code == 302
    owner.refresh_from_db()
    assert (owner.is_trusted, owner.is_active) == (True, True)
    event = Event.objects.get(action="user.changed")
    assert event.actor_name == "boss"
    assert event.data == {"fields": {"email": "ada@example.org", "is_trusted": True}}


def test_a_new_person_has_a_name_that_can_be_an_address(boss):
    url = reverse("admin:accounts_user_add")
    form = {"password1": "quiet-harbour-42", "password2": "quiet-harbour-42"}
    form |= {"usable_password": "true"}
    answer = browser_of(boss).post(url, form | {"username": "admin"})
    assert "reserved" in answer.content.decode()
    assert browser_of(boss).post(url, form | {"username": "newbie"}).status_code == 302
    event = Event.objects.get(action="user.created", target_name="newbie")
    assert "quiet-harbour-42" not in str(event.data)


def test_setting_a_password_is_recorded_without_it(boss, owner):
    url = reverse("admin:auth_user_password_change", args=[owner.pk])
    form = {"password1": "quiet-harbour-42", "password2": "quiet-harbour-42"}
    answer = browser_of(boss).post(url, form | {"usable_password": "true"})
    assert answer.status_code == 302
    event = Event.objects.get(action="user.changed")
    assert event.target_name == "ada"
    assert "quiet-harbour-42" not in str(event.data)


def test_only_administrators_hand_out_rights(owner):
    clerk = make_user("clerk", is_staff=True)
    clerk.user_permissions.set(Permission.objects.filter(codename__in=["change_user", "view_user"]))
    browser_of(clerk).post(url_of(owner), {"email": "", "is_superuser": "on", "is_staff": "on"})
    owner.refresh_from_db()
    assert (owner.is_superuser, owner.is_staff) == (False, False)


def test_revoking_a_token(boss, owner):
    token, _ = create_token(user=owner, name="laptop", actor=owner)
    url = reverse("admin:accounts_apitoken_changelist")
    chosen = {"action": "revoke", "_selected_action": [token.pk]}
    browser_of(boss).post(url, chosen | {"decided": "1"})
    assert ApiToken.objects.count() == 0
    assert Event.objects.get(action="token.revoked").actor_name == "boss"


def model_form(model: ReferenceModel, **changes: object) -> dict[str, object]:
    names = ["name", "base_url", "model", "temperature", "top_p", "max_tokens"]
    values = {name: getattr(model, name) for name in [*names, "concurrency", "timeout_s"]}
    return values | {"is_enabled": "on", "api_key": "", "tool_calls": "native"} | changes


def test_a_models_key_goes_in_and_never_out(boss):
    model = make_model(is_default=False)
    browser = browser_of(boss)
    browser.post(url_of(model), model_form(model, api_key="sk-secret-1"))
    model.refresh_from_db()
    assert model.api_key == "sk-secret-1"
    assert "sk-secret-1" not in browser.get(url_of(model)).content.decode()
    assert "sk-secret-1" not in browser.get(url_of(model, "history")).content.decode()
    assert "sk-secret-1" not in str(list(Event.objects.values_list("data", flat=True)))
    browser.post(url_of(model), model_form(model, temperature=0.5))
    model.refresh_from_db()
    assert (model.api_key, model.temperature) == ("sk-secret-1", 0.5)
    invalid = browser.post(url_of(model), model_form(model, api_key="sk-secret-2", top_p=7))
    assert "sk-secret-2" not in invalid.content.decode()
    browser.post(url_of(model), model_form(model, forget_key="on"))
    model.refresh_from_db()
    assert model.api_key == ""


def test_how_a_model_is_offered_tools_is_chosen_and_explained(boss):
    model = make_model(is_default=False)
    browser = browser_of(boss)
    assert "for a model or a server that knows none" in browser.get(url_of(model)).content.decode()
    browser.post(url_of(model), model_form(model, tool_calls="text"))
    model.refresh_from_db()
    assert model.tool_calls == "text"
    refused = browser.post(url_of(model), model_form(model, tool_calls="perhaps"))
    assert "perhaps is not one of the available choices" in refused.content.decode()


def test_the_default_model_stays_enabled(boss):
    model = make_model()
    answer = browser_of(boss).post(url_of(model), model_form(model, is_enabled=""))
    assert "Make another one the default first" in answer.content.decode()
    model.refresh_from_db()
    assert model.is_enabled


def test_making_a_model_the_default(boss):
    make_model()
    other = ReferenceModel.objects.create(name="other", base_url="http://x", model="x")
    url = reverse("admin:graders_referencemodel_changelist")
    chosen = {"action": "make_default", "_selected_action": [other.pk], "decided": "1"}
    browser_of(boss).post(url, chosen)
    other.refresh_from_db()
    assert other.is_default


def test_a_profile_that_cannot_be_measured_with(boss):
    profile = Profile.objects.get(name="quick")
    values = {
        field.name: getattr(profile, field.name)
        for field in Profile._meta.fields
        if field.name not in ("id", "is_default")
    }
    answer = browser_of(boss).post(url_of(profile), values | {"group": 99, "prompts": 1})
    text = answer.content.decode()
    assert "Choose from 2 up to the rollouts of a task" in text
    assert "Read at least as many as there are tasks" in text
    assert browser_of(boss).post(url_of(profile), values | {"group": 3}).status_code == 302
    assert Event.objects.get(action="profile.changed").data == {"fields": {"group": 3}}


def test_cancelling_and_repeating_an_evaluation(moderator, owner):
    evaluation = make_evaluation(make_version(owner))
    base = url_of(evaluation).removesuffix("change/")
    browser = browser_of(moderator)
    browser.post(f"{base}cancel/", {"decided": "1", "reason": "Too long."})
    evaluation.refresh_from_db()
    assert evaluation.stage == Stage.CANCELLED
    browser.post(f"{base}retry/", {"decided": "1"})
    assert Evaluation.objects.filter(stage=Stage.QUEUED).count() == 1
    again = browser.post(f"{base}cancel/", {"decided": "1", "reason": "Again."}, follow=True)
    assert "is already cancelled" in again.content.decode()
