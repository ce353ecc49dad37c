"""What a browser makes of the pages: scripts, keys, policy, width, colours, no scripts at all."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from django.test import Client
from playwright.sync_api import Browser, Page

from graders import services
from graders.models import Evaluation
from hub.accounts.models import User
from tests.chromium import expect
from tests.factories import make_version
from tests.talk import one_seat, two_seats
from tests.web.conftest import measure, publish, say, start
from tests.web.test_upload_page import PROJECT, archive

pytestmark = [pytest.mark.chromium, pytest.mark.django_db(transaction=True)]

# The contrast of two tokens, as the browser paints them.
CONTRAST = """([one, other]) => {
  const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const luminance = (token) => {
    const probe = document.createElement("i");
    probe.className = "probe";
    document.body.append(probe);
    probe.style.color = `var(--${token})`;
    paint.fillStyle = getComputedStyle(probe).color;
    probe.remove();
    paint.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...paint.getImageData(0, 0, 1, 1).data].slice(0, 3).map((byte) => {
      const c = byte / 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}"""


def test_search_narrows_while_typing_and_back_restores(page: Page, ada: User) -> None:
    publish(ada, "mini-sudoku", domains=["logic"])
    publish(ada, "train-times", domains=["planning"])
    page.goto("/environments/")
    expect(page.locator("[data-row]")).to_have_count(2)
    page.locator("#q").press_sequentially("sudoku")
    expect(page.locator("[data-row]")).to_have_count(1)
    expect(page).to_have_url(re.compile("q=sudoku"))
    expect(page.locator("#q")).to_be_focused()
    page.get_by_role("link", name="start over").click()
    expect(page.locator("[data-row]")).to_have_count(2)
    page.get_by_role("navigation", name="Facets").get_by_role("link", name="planning").click()
    expect(page.locator("[data-row]")).to_have_count(1)
    expect(page).to_have_url(re.compile("domain=planning"))
    page.reload()
    expect(page.locator("[data-row] .name")).to_have_text("ada/train-times")
    page.go_back()
    expect(page.locator("[data-row]")).to_have_count(2)
    page.locator("[data-row] .name").first.click()
    expect(page.locator("h1")).to_be_visible()
    assert page.url.rstrip("/").rpartition("/")[2] in {"mini-sudoku", "train-times"}


def test_keys(page: Page, ada: User) -> None:
    for name in ("a", "b", "c"):
        publish(ada, name)
    page.goto("/environments/?sort=name")
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator("[data-row] .name").nth(1)).to_be_focused()
    page.keyboard.press("k")
    expect(page.locator("[data-row] .name").first).to_be_focused()
    page.keyboard.press("/")
    expect(page.locator("#q")).to_be_focused()
    page.keyboard.type("j?")
    expect(page.locator("#q")).to_have_value("j?")
    page.locator("#q").blur()
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#keys")).to_be_hidden()


def test_the_chosen_theme_stays(page: Page, db) -> None:
    page.emulate_media(color_scheme="light")
    page.goto("/")
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.get_by_role("button", name="Switch between light and dark").click()
    assert page.evaluate(paper) != light
    page.reload()
    assert page.evaluate(paper) != light


def test_uploading_shows_problems_and_loses_nothing(
    page: Page, ada: User, sign_in: Callable[[User], None], tmp_path: Path
) -> None:
    sign_in(ada)
    bad, good = tmp_path / "bad.zip", tmp_path / "good.zip"
    bad.write_bytes(archive(project='[project]\nname = "sums"\n').read())
    good.write_bytes(archive(project=PROJECT).read())
    page.goto("/upload/")
    page.get_by_label("What changed").fill("The first one.")
    page.locator("input[type=file]").set_input_files(bad)
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_role("alert")).to_contain_text("project.version")
    expect(page.get_by_label("What changed")).to_have_value("The first one.")
    assert page.evaluate("document.querySelector('input[type=file]').files[0].name") == "bad.zip"
    page.locator("input[type=file]").set_input_files(good)
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("h1")).to_have_text("sums")
    expect(page.locator(".banner")).to_contain_text("waits for a worker")


def test_progress_moves_by_itself_and_ends_in_the_numbers(
    page: Page, ada: User, sign_in: Callable[[User], None]
) -> None:
    sign_in(ada)
    version = make_version(ada)
    evaluation = start(version)
    page.goto(version.get_absolute_url())
    expect(page.locator("#progress")).to_contain_text("16 of 16 rollouts")
    Evaluation.objects.filter(pk=evaluation.pk).update(rollouts_planned=32)
    expect(page.locator("#progress")).to_contain_text("16 of 32 rollouts")
    services.fail(evaluation, fault="It broke in the middle.")
    expect(page.locator(".banner")).to_contain_text("It broke in the middle.")
    expect(page.locator("#progress")).to_have_count(0)
    page.get_by_role("button", name="Evaluate again").click()
    expect(page.locator("#progress")).to_contain_text("Waiting for a worker")
    measure(version)
    page.goto(version.get_absolute_url())
    expect(page.locator(".numbers .estimate")).to_have_count(4)


def test_a_transcript_runs_nothing(page: Page, measured: Evaluation) -> None:
    page.goto("/ada/sums/1.0.0/rollouts/11/1/")
    expect(page.locator(".policy .said")).to_contain_text('<script>alert("x")</script>')
    page.keyboard.press("ArrowRight")
    expect(page.locator("h1")).to_have_text("Task 11, rollout 2")


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_no_page_scrolls_sideways(
    page: Page, measured: Evaluation, sign_in: Callable[[User], None], width: int
) -> None:
    sign_in(measured.version.environment.owner)
    page.set_viewport_size({"width": width, "height": 800})
    paths = ["/", "/environments/", "/ada/", "/ada/sums/", "/upload/", "/api/v1/docs/"]
    paths.append(measured.version.get_package_url())
    paths += [f"/ada/sums/1.0.0/{tab}/" for tab in ("tasks", "rollouts", "versions")]
    for path in [*paths, "/ada/sums/1.0.0/rollouts/11/1/", measured.get_absolute_url(), "/none/"]:
        page.goto(path)
        wider = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wider <= 0, path


@pytest.mark.parametrize("width", [360, 1440])
def test_no_conversation_is_wider_than_the_page(
    page: Page, measured: Evaluation, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    for messages in (one_seat(), two_seats()):
        say(measured, messages, per_agent={"Spieler_" * 8: 1e300})
        page.goto("/ada/sums/1.0.0/rollouts/11/1/")
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        expect(page.locator(".offer dt").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_contrast(browser: Browser, live_server, scheme: str, db) -> None:
    page = browser.new_page(color_scheme=scheme, bypass_csp=True)
    page.goto(live_server.url)
    for token, least in [("ink", 7), ("quiet", 7), ("accent", 4.5), ("danger", 4.5)]:
        for ground in ("paper", "sunk"):
            assert page.evaluate(CONTRAST, [token, ground]) >= least, (token, ground)
    assert page.evaluate(CONTRAST, ["on-accent", "accent"]) >= 4.5
    ramp = [page.evaluate(CONTRAST, [f"ramp-{band}", "paper"]) for band in range(1, 6)]
    assert ramp == sorted(ramp)
    assert ramp[0] >= 3
    page.close()


def test_everything_works_without_scripts(
    browser: Browser, live_server, ada: User, tmp_path: Path
) -> None:
    publish(ada, "mini-sudoku", domains=["logic"])
    publish(ada, "train-times", domains=["planning"])
    client = Client()
    client.force_login(ada)
    context = browser.new_context(java_script_enabled=False, base_url=live_server.url)
    session = client.cookies["sessionid"].value
    context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
    page = context.new_page()
    page.goto("/environments/")
    page.locator("summary", has_text="Narrow down").click()
    page.get_by_role("link", name="logic").first.click()
    expect(page.locator("[data-row]")).to_have_count(1)
    page.locator("#q").fill("train")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("heading", name="Nothing fits")).to_be_visible()
    good = tmp_path / "good.zip"
    good.write_bytes(archive().read())
    page.goto("/upload/")
    page.locator("input[type=file]").set_input_files(good)
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("h1")).to_have_text("sums")
    context.close()
