"""The content policy is strict on every page, and every page works under it."""

import re
from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Page

from environments.models import Version
from environments.states import Review
from graders.models import Evaluation
from hub.accounts.models import ApiToken, User
from hub.accounts.services import create_token
from tests.chromium import expect
from tests.web.conftest import publish
from tests.web.test_upload_page import PROJECT, archive

pytestmark = [pytest.mark.chromium, pytest.mark.django_db(transaction=True)]

SignIn = Callable[[User], None]


def admin_url(found: object) -> str:
    meta = found._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[found.pk])


def test_the_policy_allows_nothing_inline_and_nothing_evaluated(client: Client, boss: User) -> None:
    client.force_login(boss)
    for path in ["/", "/admin/", "/admin/accounts/user/", "/api/v1/docs/", "/api/v1/models/"]:
        policy = client.get(path)["Content-Security-Policy"]
        assert "unsafe" not in policy, path
        assert "data:" not in policy, path
        rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
        assert rules["default-src"] == rules["base-uri"] == rules["frame-ancestors"] == "'none'"
        assert rules["form-action"] == rules["connect-src"] == "'self'"
        assert re.fullmatch(r"'self'( 'nonce-[\w+/=]+')?", rules["script-src"])


def test_a_nonce_is_used_once(client: Client, db) -> None:
    seen = set()
    for _ in range(3):
        answer = client.get("/")
        (nonce,) = set(re.findall(r"'nonce-([^']+)'", answer["Content-Security-Policy"]))
        assert f'nonce="{nonce}"' in answer.content.decode()
        seen.add(nonce)
    assert len(seen) == 3


def test_a_violation_would_be_seen(page: Page, complaints: list[str], db) -> None:
    """What the other tests of this file rely on."""
    page.goto("/")
    page.evaluate("""() => {
      const script = document.createElement("script");
      script.textContent = "globalThis.ran = true";
      document.body.append(script);
      const style = document.createElement("p");
      style.setAttribute("style", "color: red");
      document.body.append(style);
    }""")
    assert page.evaluate("globalThis.ran") is None
    page.wait_for_timeout(100)
    assert any("script-src" in line for line in complaints)
    assert any("style-src" in line for line in complaints)
    complaints.clear()


def test_the_administration_works_under_it(page: Page, boss: User, ada: User) -> None:
    for name in ("a", "b"):
        publish(ada, name)
    token, _ = create_token(user=ada, name="laptop", actor=ada)
    page.goto("/admin/")
    page.get_by_label("Login").fill("boss")
    page.locator("#id_password").fill("secret")
    page.get_by_role("main").get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Site administration")).to_be_visible()
    page.locator("#content-main").get_by_role("link", name="Versions").click()
    page.locator("#nav-filter").fill("token")
    expect(page.locator("#nav-sidebar").get_by_role("link", name="Versions")).to_be_hidden()
    page.locator("#nav-filter").fill("")
    page.locator("#changelist-filter").get_by_role("link", name="approved").click()
    expect(page.locator("#result_list tbody tr")).to_have_count(2)
    page.locator("#searchbar").fill("b")
    page.get_by_role("button", name="Search").click()
    page.locator("#result_list tbody a").first.click()
    page.get_by_role("link", name="Quarantine").click()
    page.get_by_label("Reason").fill("It phones home.")
    page.get_by_role("button", name="Quarantine").click()
    expect(page.locator(".messagelist")).to_contain_text("Quarantine: ada/")
    assert Version.objects.filter(review=Review.QUARANTINED).count() == 1
    page.goto("/admin/accounts/apitoken/")
    page.locator("#action-toggle").check()
    page.locator("select[name=action]").select_option("revoke")
    page.get_by_role("button", name="Go").click()
    page.get_by_role("button", name="Revoke").click()
    expect(page.locator(".messagelist")).to_contain_text("Revoke: laptop")
    assert not ApiToken.objects.filter(pk=token.pk).exists()


def test_changing_people_and_models_works_under_it(
    page: Page, boss: User, measured: Evaluation, sign_in: SignIn
) -> None:
    sign_in(boss)
    page.goto(admin_url(measured.version.environment.owner))
    page.locator("summary", has_text="Dates").or_(page.locator("h2", has_text="Dates")).wait_for()
    page.locator("#id_user_permissions_from option").first.click()
    page.locator("#id_user_permissions_add").or_(
        page.get_by_role("button", name="Choose selected user permissions")
    ).first.click()
    expect(page.locator("#id_user_permissions_to option")).to_have_count(1)
    page.get_by_label("Trusted").check()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".messagelist")).to_contain_text("was changed successfully")
    page.goto("/admin/accounts/user/add/")
    page.get_by_label("Username").fill("newbie")
    for box in page.locator("[type=password]").all():
        box.fill("quiet-harbour-42")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".messagelist")).to_contain_text("newbie")
    page.get_by_role("link", name="Reset password").click()
    expect(page.get_by_role("heading", name="Change password: newbie")).to_be_visible()
    page.goto(admin_url(measured.model))
    page.locator("#id_api_key").fill("sk-1")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".messagelist")).to_contain_text("was changed successfully")
    page.get_by_role("button", name="Toggle theme").click()
    assert page.locator("html").get_attribute("data-theme") in {"light", "dark"}
    for model in ("environments/environment", "graders/job", "graders/profile", "audit/event"):
        page.goto(f"/admin/{model}/")
        page.locator("#result_list tbody th a").first.click()
        page.get_by_role("link", name="History").click()
        expect(page.locator("#change-history")).to_be_visible()


def test_the_pages_work_under_it(page: Page, measured: Evaluation, sign_in: SignIn) -> None:
    sign_in(measured.version.environment.owner)
    publish(measured.version.environment.owner, "other", domains=["games"])
    page.goto("/environments/")
    page.locator("#q").press_sequentially("sums")
    expect(page.locator("[data-row]")).to_have_count(1)
    assert page.evaluate("[htmx.config.allowEval, htmx.config.includeIndicatorStyles]") == [
        False,
        False,
    ]
    page.goto("/api/v1/docs/")
    page.locator("summary").first.click()
    page.goto("/accounts/tokens/")
    page.get_by_label("What is it for?").fill("laptop")
    page.get_by_role("button", name="Make the token").click()
    expect(page.locator("#token")).to_contain_text("practicum_")
    page.get_by_role("button", name="Revoke laptop").click()
    expect(page.locator(".messages")).to_contain_text("is revoked")
    page.goto("/upload/")
    project = PROJECT.replace('name = "sums"', 'name = "fresh"')
    _drop(page, "fresh.zip", archive(project=project).read())
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("h1")).to_have_text("fresh")
    for path in ["/", "/ada/", "/ada/sums/1.0.0/tasks/", "/ada/sums/1.0.0/rollouts/11/1/"]:
        page.goto(path)
    page.goto(measured.get_absolute_url())


def _drop(page: Page, name: str, content: bytes) -> None:
    """Drop a file where the upload page takes one, as a person would."""
    page.locator("[data-drop]").evaluate(
        """(drop, [name, bytes]) => {
          const dragged = new DataTransfer();
          dragged.items.add(new File([new Uint8Array(bytes)], name));
          for (const kind of ["dragenter", "dragover", "drop"]) {
            const how = { dataTransfer: dragged, bubbles: true, cancelable: true };
            drop.dispatchEvent(new DragEvent(kind, how));
          }
        }""",
        [name, list(content)],
    )
