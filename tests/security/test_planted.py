"""What people write is text: no field of any row runs a script on any page."""

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.contrib.postgres.fields import ArrayField
from django.db.models import CharField, Field, JSONField, Model, TextField
from django.test import Client
from playwright.sync_api import Page

from environments.models import Environment, Headline, Version
from environments.states import Review, Status
from graders import transcripts
from graders.models import Evaluation, Job, Profile, ReferenceModel, Rollout, Task
from graders.states import Stage
from hub.accounts.models import ApiToken, User
from hub.audit import services as audit
from tests.security.addresses import addresses
from tests.security.conftest import strangers
from tests.security.scene import Scene, make_scene

pytestmark = [pytest.mark.chromium, pytest.mark.django_db(transaction=True)]

# What every text of every row is set to; the short form fits where little room is.
LONG = "\"><img src=x onerror=pwned=1><script>pwned=1</script>' onmouseover=pwned=1 x="
SHORT = '"><img src onerror=pwned=1>'
SHORTEST = '"><u>'
PLANTED = """() => {
  const found = typeof globalThis.pwned === "undefined" ? [] : ["a script ran"];
  const planted = "[onerror], [onmouseover], img[src=x], u, script:not([src])";
  for (const element of document.querySelectorAll(planted))
    found.push(element.outerHTML.slice(0, 200));
  return found;
}"""
MODELS: list[type[Model]] = [
    *(Version, Environment, Headline, Evaluation, Job, Task, Rollout),
    *(ReferenceModel, Profile, ApiToken, User, LogEntry),
]
# What is checked where it comes in, and is no text that somebody writes: names in addresses,
# digests, places in storage, passwords.
CHECKED = {
    *("Environment.name", "User.username", "User.password", "Version.sha256", "Version.number"),
    *("ApiToken.digest", "ApiToken.token_key", "Rollout.transcript_key", "LogEntry.object_id"),
    "Version.package",
    # The kind decides which way a readme goes; both ways are tried in test_readmes.py.
    "Version.readme_type",
}


# Downloads, and what only takes a POST.
NO_PAGES = {
    *("admin:jsi18n", "admin:logout", "api-archive", "account_logout"),
    *("account-token-revoke", "version-retry", "evaluation-cancel", "api-cancel", "api-schema"),
}


def test_what_is_planted_in_every_text_stays_text_on_every_page(
    page: Page, asked: list[str], sign_in
) -> None:
    scene = make_scene()
    boss = scene.people["administrator"]
    _log(boss, scene)
    planted = plant(scene)
    assert len(planted) > 40
    sign_in(boss)
    visited = 0
    for address in addresses():
        for private in (False, True):
            if address.name in NO_PAGES:
                continue
            path = scene.path(address, private=private)
            answer = page.goto(path)
            assert answer is not None and answer.status < 500, path
            assert page.evaluate(PLANTED) == [], path
            visited += 1
    assert visited > 200
    assert strangers(asked, page) == []
    # It was there to be seen.
    assert SHORT[:12] in page.goto(scene.private.version.get_absolute_url()).text().replace(
        "&quot;&gt;&lt;", '"><'
    )


def test_the_owner_too_reads_faults_and_logs_as_text(page: Page, sign_in) -> None:
    scene = make_scene()
    plant(scene)
    sign_in(scene.ada)
    for address in addresses():
        if address.name not in NO_PAGES and address.pattern.startswith(
            ("/<owner>/", "/accounts/tokens/", "/environments/")
        ):
            path = scene.path(address, private=True)
            page.goto(path)
            assert page.evaluate(PLANTED) == [], path


def plant(scene: Scene) -> list[str]:
    """Set every text of every row to a payload. Returns the fields' names."""
    Rollout.objects.filter(number=1).update(
        error_kind="environment", error="x", reward=None, passed=None
    )
    Version.objects.filter(pk=scene.private.version_id).update(
        status=Status.FAILED, fault="x", review=Review.QUARANTINED, review_reason="x"
    )
    Evaluation.objects.filter(pk=scene.private.pk).update(stage=Stage.FAILED, fault="x")
    names = []
    for model in MODELS:
        fields = {f"{model.__name__}.{one.name}": one for one in model._meta.concrete_fields}
        free = {name: one for name, one in fields.items() if _is_text(one) and name not in CHECKED}
        texts = {one.name: _payload(one) for one in free.values()}
        names += free
        for row in model._default_manager.all():
            model._default_manager.filter(pk=row.pk).update(**_fitting(row, texts))
    messages = [{"role": role, "content": LONG} for role in ("system", "user", LONG)]
    messages.append({"role": "tool", "content": [{"type": "text", "text": LONG}, {LONG: LONG}]})
    calls = [{"id": LONG, "function": {"name": LONG, "arguments": LONG}}, {LONG: LONG}, LONG]
    tools = [{"function": {"name": LONG, "description": LONG, "parameters": {LONG: LONG}}}, LONG]
    said = {"role": "assistant", "content": None, "tool_calls": calls, "tools": tools}
    messages.append(said | {"agent": LONG, "finish_reason": LONG, "replaces_from": 0})
    messages.append({"role": "tool", "content": LONG, "tool_call_id": LONG, "agent": LONG})
    messages.append({"role": "tool", "content": LONG, "tool_call_id": SHORT, "name": LONG})
    (place,) = transcripts.write(scene.private.pk, [messages])
    Rollout.objects.update(
        transcript_key=place.key,
        transcript_offset=place.offset,
        transcript_length=place.length,
    )
    audit.record(actor=scene.ada, action=SHORT, target=scene.private.version, data={LONG: [LONG]})
    return names


def _log(boss: User, scene: Scene) -> None:
    LogEntry.objects.create(
        user=boss,
        content_type=ContentType.objects.get_for_model(Version),
        object_id=str(scene.private.version_id),
        object_repr="x",
        action_flag=2,
        change_message="x",
    )


def _is_text(one: Field) -> bool:
    base = one.base_field if isinstance(one, ArrayField) else one
    return isinstance(base, CharField | TextField | JSONField) and not base.choices


def _payload(one: Field) -> Any:
    if isinstance(one, ArrayField):
        return [_payload(one.base_field)]
    if isinstance(one, JSONField):
        return {LONG: LONG}
    room = one.max_length or 10_000
    return next(text for text in (LONG, SHORT, SHORTEST) if len(text) <= room)


def _fitting(row: Model, texts: dict[str, Any]) -> dict[str, Any]:
    """The payloads that this row can have: an empty reason or fault says something too."""
    fitting = {}
    for name, text in texts.items():
        now = getattr(row, name)
        if isinstance(now, dict):
            # What templates look for stays, every text in it is a payload.
            fitting[name] = _poisoned(now) | text
        elif name in ("fault", "review_reason", "error", "error_kind") and not now:
            continue
        elif name == "name" and isinstance(row, Profile | ReferenceModel):
            fitting[name] = f"{text[:54]}{row.pk}"
        else:
            fitting[name] = text
    return fitting


def _poisoned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _poisoned(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_poisoned(one) for one in value]
    return LONG if isinstance(value, str) else value


@pytest.mark.parametrize("kind", ["tar.gz", "zip", "wheel", "new"])
def test_archives_are_downloaded_and_can_do_nothing(client: Client, kind: str) -> None:
    version = make_scene().public.version
    Version.objects.filter(pk=version.pk).update(
        kind=kind, filename='x"\r\nX-Evil: 1\r\n\r\n<b>.html'
    )
    url = f"/api/v1/environments/ada/coins/versions/{version.number}/archive"
    for extra in ({}, {"Range": "bytes=0-9"}, {"Accept": "text/html"}):
        answer = client.get(url, headers=extra)
        assert answer.status_code in (200, 206)
        assert answer["Content-Disposition"].startswith("attachment")
        assert "\n" not in answer["Content-Disposition"]
        assert "X-Evil" not in answer.headers
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert answer["Content-Security-Policy"] == "default-src 'none'; sandbox"
        assert answer["Cross-Origin-Resource-Policy"] == "same-origin"
        assert answer["Content-Type"] in (
            "application/gzip",
            "application/zip",
            "application/octet-stream",
        )


def test_answers_of_the_api_are_no_pages(client: Client) -> None:
    scene = make_scene()
    plant(scene)
    Version.objects.filter(pk=scene.private.version_id).update(
        review=Review.APPROVED, review_reason=""
    )
    for address in addresses():
        if address.is_api and address.name != "api-docs":
            answer = client.get(scene.path(address), headers={"Accept": "text/html"})
            assert answer["X-Content-Type-Options"] == "nosniff"
            assert "html" not in answer["Content-Type"], address.pattern
