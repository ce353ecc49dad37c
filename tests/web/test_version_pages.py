"""A version's pages: who may see them, what they show, and that strangers' text stays text."""

from html import escape

import pytest
from django.test import Client

from environments import services as catalogue
from environments.models import Version
from environments.states import Review, Status
from graders import services
from graders.models import Evaluation, Rollout
from graders.states import JobKind, JobStatus, Stage
from hub.accounts.models import User
from tests.factories import make_user, make_version
from tests.talk import one_seat, two_seats
from tests.web.conftest import SAID, measure, publish, say, start

pytestmark = pytest.mark.django_db
PATHS = ["", "tasks/", "rollouts/", "versions/"]
ROLLOUT = "/ada/sums/1.0.0/rollouts/11/1/"


def page(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, path
    return answer.content.decode()


def failed(owner: User) -> Version:
    """A version whose evaluation failed."""
    version = make_version(owner)
    services.fail(start(version), fault="ModuleNotFoundError: No module named 'zebra'")
    version.refresh_from_db()
    return version


@pytest.mark.parametrize("path", [*PATHS, "progress/", "rollouts/10/0/"])
def test_what_is_not_public_is_not_there_for_others(
    client: Client, ada: User, moderator: User, path: str
) -> None:
    version = make_version(ada)
    start(version)
    address = version.get_absolute_url() + path
    statuses = [client.get(address).status_code]
    for user in (make_user("eve"), ada, moderator):
        client.force_login(user)
        statuses.append(client.get(address, headers={"HX-Request": "true"}).status_code)
    assert statuses == [404, 404, 200, 200]


def test_an_environment_without_a_visible_version_is_not_there(client: Client, ada: User) -> None:
    version = make_version(ada)
    assert client.get(version.environment.get_absolute_url()).status_code == 404
    client.force_login(ada)
    assert client.get(version.environment.get_absolute_url()).status_code == 200


def test_rejecting_a_version_takes_its_pages_away(client: Client, measured: Evaluation) -> None:
    version = measured.version
    assert client.get(version.get_absolute_url()).status_code == 200
    catalogue.decide(version=version, review=Review.QUARANTINED, actor=None, reason="Looks odd.")
    for path in PATHS:
        assert client.get(version.get_absolute_url() + path).status_code == 404


def test_the_numbers_stand_with_their_intervals_and_their_origin(
    client: Client, measured: Evaluation
) -> None:
    html = page(client, "/ada/sums/")
    difficulty = measured.report["difficulty"]
    for name in ("signal", "pass_at_1", "mean_reward"):
        found = difficulty[name]
        assert f"<b>{found['value']:.2f}</b>" in html or f"<b>{found['value']:.1f}</b>" in html
    assert "T&nbsp;=&nbsp;4 tasks, n&nbsp;=&nbsp;4 rollouts each" in html
    assert "bubblewrap" in html
    assert measured.version.sha256 in html
    assert "100 % of rollouts cut off" in html
    assert "Grader probes: not run yet" in html


def test_the_readme_is_sanitised(client: Client, measured: Evaluation) -> None:
    html = page(client, "/ada/sums/")
    assert '<h2 id="readme-sums">Sums</h2>' in html
    assert "image: pic</a>" in html
    assert "<img" not in html


def test_the_command_cannot_be_poisoned_by_a_file_name(client: Client, ada: User) -> None:
    version = publish(ada, "sums", filename="x.zip; rm -rf ~ #.zip", kind="zip")
    html = page(client, version.get_absolute_url())
    assert "rm -rf" not in html
    assert "curl -fLo sums-1.0.0.zip" in html


def test_tasks_are_sorted_and_narrowed(client: Client, measured: Evaluation) -> None:
    def indices(**query: str) -> list[int]:
        found = client.get("/ada/sums/1.0.0/tasks/", query).context["page"]
        return [task.index for task in found]

    assert indices() == [10, 11, 12, 13]
    assert indices(sort="-p") == [13, 12, 11, 10]
    assert indices(p_min="0.2", p_max="0.8") == [11, 12]
    assert indices(p_min="no") == [10, 11, 12, 13]
    assert "has a near-duplicate" in page(client, "/ada/sums/1.0.0/tasks/")


def test_rollouts_are_narrowed(client: Client, measured: Evaluation) -> None:
    def found(**query: str) -> list[str]:
        rows = client.get("/ada/sums/1.0.0/rollouts/", query).context["page"]
        return [f"{r.task.index}.{r.number}" for r in rows]

    assert len(found()) == 16
    assert found(task="11") == ["11.0", "11.1", "11.2", "11.3"]
    assert found(task="11", passed="true") == ["11.1"]
    assert len(found(passed="false")) == 8
    assert len(found(min_reward="0.5")) == 8
    assert len(found(task="x", passed="maybe")) == 16


def test_a_transcript_is_text_whatever_is_in_it(client: Client, measured: Evaluation) -> None:
    html = page(client, "/ada/sums/1.0.0/rollouts/11/1/")
    assert escape(SAID) in html
    assert "<script>alert" not in html
    assert "cut off at the token limit" in html
    assert ">1101<" in html
    assert 'rel="prev" href="/ada/sums/1.0.0/rollouts/11/0/' in html
    assert 'rel="next" href="/ada/sums/1.0.0/rollouts/11/2/' in html


def test_tools_are_shown_with_who_calls_and_who_answers(
    client: Client, measured: Evaluation
) -> None:
    say(measured, one_seat())
    html = page(client, ROLLOUT)
    assert "24 tools offered" in html
    assert "told in the prompt" not in html
    assert "<code>add({&quot;a&quot;: 2, &quot;b&quot;: 3})</code>" in html
    assert escape('    """Count <b>all</b> of them."""\n') in html
    assert "<code>add({&quot;a&quot;: 2, &quot;b&quot;: )</code>" in html
    assert 'Tool <bdi class="mono">add</bdi>' in html
    assert 'called in <a href="#turn-3">3</a>' in html
    assert "No tools are offered from here on." in html
    assert "<script>alert" not in html
    measured.settings["tool_calls"] = "text"
    measured.save()
    assert "24 tools told in the prompt" in page(client, ROLLOUT)


def test_seats_are_told_apart_and_each_has_its_reward(client: Client, measured: Evaluation) -> None:
    say(measured, two_seats(), per_agent={"Player 0": -1.0, "<b>": 1 / 3, "far": 1e300})
    html = page(client, ROLLOUT)
    assert html.count('Policy <bdi class="seat">Player 0</bdi>') == 3
    assert 'goes on after <a href="#turn-1">1</a>, the rest was dropped' in html
    assert html.count("a new conversation") == 1
    cells = [("Player 0", "\N{MINUS SIGN}1"), ("&lt;b&gt;", "0.3333"), ("far", "1e+300")]
    for seat, reward in cells:
        row = f'<th scope="row"><bdi>{seat}</bdi></th><td class="n">{reward}</td>'
        assert row in html
    say(measured, two_seats(), per_agent={})
    assert "What each seat earned" not in page(client, ROLLOUT)


def test_neighbours_cross_from_task_to_task(client: Client, measured: Evaluation) -> None:
    first = page(client, "/ada/sums/1.0.0/rollouts/10/0/")
    assert 'rel="prev"' not in first
    last = page(client, "/ada/sums/1.0.0/rollouts/10/3/")
    assert 'rel="next" href="/ada/sums/1.0.0/rollouts/11/0/' in last
    assert client.get("/ada/sums/1.0.0/rollouts/10/4/").status_code == 404
    assert client.get("/ada/sums/1.0.0/rollouts/99/0/").status_code == 404


def test_a_rollout_that_ended_in_an_error_says_so(client: Client, measured: Evaluation) -> None:
    Rollout.objects.filter(task__index=10, number=0).update(
        reward=None, passed=None, error_kind="environment", error="ValueError: <grid>"
    )
    html = page(client, "/ada/sums/1.0.0/rollouts/10/0/")
    assert "ValueError: &lt;grid&gt;" in html
    assert "counts in no estimate" in html


def test_a_lost_transcript_is_said(client: Client, measured: Evaluation) -> None:
    Rollout.objects.update(transcript_key="transcripts/0/gone.zst")
    assert "The transcript is gone" in page(client, "/ada/sums/1.0.0/rollouts/10/0/")


def test_an_older_evaluation_has_its_own_pages(client: Client, measured: Evaluation) -> None:
    newer = measure(measured.version)
    assert client.get("/ada/sums/1.0.0/tasks/").context["measured"] == newer
    address = f"/ada/sums/1.0.0/tasks/?evaluation={measured.pk}"
    assert client.get(address).context["measured"] == measured
    for wrong in ("0", "x", str(start(publish(make_user("eve"), "other")).pk)):
        assert client.get(f"/ada/sums/1.0.0/tasks/?evaluation={wrong}").status_code == 404


def test_progress_is_a_fraction_and_ends_with_a_reload(client: Client, ada: User) -> None:
    version = make_version(ada)
    evaluation = start(version)
    client.force_login(ada)
    assert "16 of 16 rollouts" in page(client, version.get_absolute_url())
    address = version.get_absolute_url() + "progress/"
    part = client.get(address, headers={"HX-Request": "true"})
    assert 'max="16" value="16"' in part.content.decode()
    assert 'hx-trigger="every 2s"' in part.content.decode()
    services.fail(evaluation, fault="It broke.")
    ended = client.get(address, headers={"HX-Request": "true"})
    assert ended["HX-Refresh"] == "true"
    assert ended.content == b""
    assert client.get(address).status_code == 302


def test_a_failed_version_shows_its_fault_and_can_be_evaluated_again(
    client: Client, ada: User
) -> None:
    version = failed(ada)
    client.force_login(ada)
    html = page(client, version.get_absolute_url())
    assert escape(version.fault) in html
    answer = client.post(version.get_absolute_url() + "retry/", follow=True)
    assert "being evaluated again" in answer.content.decode()
    assert version.evaluations.filter(stage=Stage.QUEUED).count() == 1


def test_only_owner_and_moderators_evaluate_again(
    client: Client, ada: User, moderator: User
) -> None:
    version = failed(ada)
    catalogue.decide(version=version, review=Review.APPROVED, actor=None)
    address = version.get_absolute_url() + "retry/"
    assert client.post(address).status_code == 302
    client.force_login(make_user("eve"))
    assert client.post(address).status_code == 403
    assert version.evaluations.count() == 1
    client.force_login(moderator)
    assert client.get(address).status_code == 405
    assert client.post(address).status_code == 302
    assert version.evaluations.count() == 2


def test_the_fault_is_for_owner_and_moderators(client: Client, ada: User) -> None:
    version = failed(ada)
    catalogue.decide(version=version, review=Review.APPROVED, actor=None)
    assert "zebra" not in page(client, version.get_absolute_url())


def test_a_version_that_was_evaluated_is_not_evaluated_again(
    client: Client, measured: Evaluation, ada: User
) -> None:
    client.force_login(ada)
    client.post("/ada/sums/1.0.0/retry/")
    assert measured.version.evaluations.count() == 1


def test_a_reason_given_by_moderation_is_shown_to_the_owner(client: Client, ada: User) -> None:
    version = make_version(ada, status=Status.EVALUATED)
    catalogue.decide(version=version, review=Review.REJECTED, actor=None, reason="Leaks <gold>.")
    client.force_login(ada)
    assert "Leaks &lt;gold&gt;." in page(client, version.get_absolute_url())


def test_logs_are_for_owner_and_moderators(client: Client, measured: Evaluation, ada: User) -> None:
    job = measured.jobs.get(kind=JobKind.SUMMARISE)
    job.log = "wheels: <numpy>"
    job.save(update_fields=["log"])
    assert job.status == JobStatus.DONE
    public = page(client, measured.get_absolute_url())
    assert "numpy" not in public
    assert "also see the logs" in public
    client.force_login(ada)
    assert "wheels: &lt;numpy&gt;" in page(client, measured.get_absolute_url())


def test_an_evaluation_of_another_version_is_not_there(
    client: Client, measured: Evaluation
) -> None:
    publish(measured.version.environment.owner, "sums", "2.0.0")
    assert client.get(f"/ada/sums/2.0.0/evaluations/{measured.pk}/").status_code == 404


def test_an_evaluation_tells_how_tools_were_offered(client: Client, measured: Evaluation) -> None:
    assert "called through the server" in page(client, measured.get_absolute_url())
    measured.settings["tool_calls"] = "text"
    measured.save()
    assert "told in the prompt" in page(client, measured.get_absolute_url())
    del measured.settings["tool_calls"]
    measured.save()
    assert "<dt>Tools</dt>" not in page(client, measured.get_absolute_url())


def test_pages_run_no_inline_code(client: Client, measured: Evaluation) -> None:
    for path in ("/", "/environments/", "/ada/", "/ada/sums/", "/ada/sums/1.0.0/rollouts/10/0/"):
        html = page(client, path)
        assert " style=" not in html
        assert "onclick" not in html
        assert "<style" not in html
        assert html.count("<script") == html.count("<script src=")
        policy = client.get(path)["Content-Security-Policy"]
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
