"""A browser for tests, which complains of everything that pages should not do."""

from collections.abc import Callable, Iterator

import pytest
from django.test import Client
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    expect,
    sync_playwright,
)

from hub.accounts.models import User
from tests.conftest import CHROMIUM

# Says on the console what the policy refused; the browser itself does so only for some of it.
WATCH = """addEventListener("securitypolicyviolation", (event) => {
  const what = event.blockedURI || "inline";
  console.error(`Security Policy: ${event.violatedDirective} refused ${what}`,
    event.sourceFile, event.lineNumber, event.sample);
});"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # Playwright's loop runs in this thread; the database is used here too, never at once.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        expect.set_options(timeout=15_000)
        yield found
        found.close()


@pytest.fixture
def context(browser: Browser, live_server) -> Iterator[BrowserContext]:
    opened = browser.new_context(
        base_url=live_server.url, viewport={"width": 1280, "height": 800}, reduced_motion="reduce"
    )
    opened.set_default_timeout(15_000)
    opened.add_init_script(WATCH)
    yield opened
    opened.close()


@pytest.fixture
def complaints() -> list[str]:
    """What the browser complained about: errors of scripts and of the policy, and dialogs."""
    return []


@pytest.fixture
def page(context: BrowserContext, complaints: list[str]) -> Iterator[Page]:
    def said(line: ConsoleMessage) -> None:
        if "Security Policy" in line.text or "Permissions-Policy" in line.text:
            complaints.append(line.text)

    opened = context.new_page()
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("console", said)
    opened.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
    yield opened
    assert complaints == []


@pytest.fixture
def sign_in(context: BrowserContext, live_server) -> Callable[[User], None]:
    def as_user(user: User) -> None:
        client = Client()
        client.force_login(user)
        session = client.cookies["sessionid"].value
        context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])

    return as_user
