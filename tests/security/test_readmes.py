"""A readme runs no script, loads nothing from elsewhere and imitates nothing of the page."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from environments.models import Version
from hub.accounts.models import User
from tests.security.conftest import requests_of, strangers
from tests.security.payloads import ELSEWHERE, HARM, PAYLOADS
from tests.web.conftest import publish

pytestmark = [pytest.mark.chromium, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def unguarded(browser: Browser, live_server) -> Iterator[Page]:
    """A page that no policy binds."""
    context = browser.new_context(base_url=live_server.url, bypass_csp=True)
    yield context.new_page()
    context.close()


def test_there_are_enough_of_them() -> None:
    assert len(PAYLOADS) == len(set(PAYLOADS)) >= 40


def test_no_payload_would_go_unseen(unguarded: Page) -> None:
    """Without sanitiser and policy, what the other tests look for is there."""
    page, requests = unguarded, requests_of(unguarded)
    page.route(f"{ELSEWHERE}/**", lambda route: route.abort())
    page.goto("/healthz")
    page.set_content(f"<main><div class=prose>{PAYLOADS[5]}{PAYLOADS[6]}</div></main>")
    page.wait_for_function("globalThis.pwned === 1")
    assert len(page.evaluate(HARM)) > 2
    assert strangers(requests, page)


def test_each_payload_in_a_readme_alone_even_without_the_policy(unguarded: Page, ada: User) -> None:
    """The sanitiser by itself is enough; the policy is the second wall."""
    version = publish(ada, "sums")
    page, requests = unguarded, requests_of(unguarded)
    harm = {}
    for payload in PAYLOADS:
        Version.objects.filter(pk=version.pk).update(readme=payload)
        page.goto(version.get_absolute_url())
        page.mouse.move(300, 300)
        if found := [*page.evaluate(HARM), *strangers(requests, page)]:
            harm[payload] = found
        requests.clear()
    assert harm == {}


def test_all_payloads_in_one_readme(page: Page, asked: list[str], ada: User) -> None:
    text = "\n\n".join(PAYLOADS)
    for kind in ("text/markdown", "text/plain", "text/x-rst"):
        version = publish(ada, f"sums-{kind[-3:]}", readme=text, readme_type=kind)
        page.goto(version.get_absolute_url())
        assert page.locator("footer.colophon").is_visible()
        assert page.evaluate(HARM) == []
        for link in page.locator(".prose a").all()[:5]:
            link.hover()
        assert page.evaluate("typeof globalThis.pwned") == "undefined"
    assert strangers(asked, page) == []
