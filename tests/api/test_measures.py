"""What was measured: statistics, tasks, rollouts, evaluations, reference models."""

import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from graders import jobs, services, transcripts
from graders.api import EvaluateThrottle
from graders.models import EMBEDDING_DIMENSIONS, Evaluation, Job, ReferenceModel, Rollout, Task
from graders.serializers import MessageSerializer
from graders.states import Stage
from hub.accounts.models import Scope
from hub.audit.models import Event
from tests.api.conftest import client_of
from tests.factories import make_evaluation, make_model
from tests.talk import one_seat, two_seats

VERSION = "/api/v1/environments/ada/coins/versions/1.0.0/"
STATS, TASKS, ROLLOUTS = f"{VERSION}stats/", f"{VERSION}tasks/", f"{VERSION}rollouts/"
EVALUATIONS = f"{VERSION}evaluations/"
OF_A_RUN = [STATS, TASKS, ROLLOUTS, f"{ROLLOUTS}5/0/"]


def estimate(value: float) -> dict[str, object]:
    return {
        "value": value,
        "low": value - 0.1,
        "high": value + 0.1,
        "method": "bootstrap",
        "tasks": 3,
        "rollouts": 6,
    }


REPORT = {
    "difficulty": {
        "tasks": 3,
        "rollouts": 6,
        "rollouts_per_task": 2,
        "group": 2,
        "k": 2,
        "mean_reward": estimate(0.5),
        "pass_at_1": estimate(0.4),
        "pass_at_k": estimate(0.6),
        "signal": None,
        "learnability": estimate(0.2),
        "solve_none": estimate(0.3),
        "solve_all": estimate(0.2),
        "saturated": False,
        "histogram": {"zero": 1, "one": 1, "bins": [0, 0, 0, 0, 0, 1, 0, 0, 0, 0]},
        "missing": {"signal": "No task has two rewards."},
    },
    "diversity": {
        "vs2_128": estimate(2.0),
        "prompts": 3,
        "near_duplicate_rate": 0.25,
        "reason": "",
    },
    "cost": {"tokens_in": 600, "tokens_out": 300, "seconds": 12.5},
    "errors": {"rollouts": 6, "environment": 1, "context": 0},
}
HEADLINE = {
    "model": "test",
    "tasks": 3,
    "rollouts": 2,
    "group": 2,
    "tokens": 50.0,
    **{
        f"{name}{end}": value
        for name in ("mean_reward", "pass_at_1", "signal")
        for end, value in (("", 0.5), ("_low", 0.4), ("_high", 0.6))
    },
}


def run(version) -> Evaluation:
    """A finished evaluation of three tasks, two rollouts each; the last one failed."""
    evaluation = make_evaluation(version)
    for position, p in enumerate([0.0, 0.5, 1.0]):
        task = Task.objects.create(
            evaluation=evaluation,
            index=5 + position,
            position=position,
            prompt=f"Flip {position}. " + "x" * 600,
            embedding=[1.0] + [0.0] * (EMBEDDING_DIMENSIONS - 1),
            n=2,
            p=p,
            mean_reward=p,
            signal=0.5,
        )
        add_rollouts(task, p)
    finish(evaluation)
    return evaluation


def add_rollouts(task: Task, p: float) -> None:
    said = [[{"role": "user", "content": f"{task.index}/{number}"}] for number in range(2)]
    for number, place in enumerate(transcripts.write(task.evaluation_id, said)):
        failed = task.position == 2 and number == 1
        Rollout.objects.create(
            task=task,
            number=number,
            seed=number,
            reward=None if failed else p,
            passed=None if failed else p == 1.0,
            turns=1,
            seconds=0.5,
            error_kind="environment" if failed else "",
            error="ValueError" if failed else "",
            transcript_key=place.key,
            transcript_offset=place.offset,
            transcript_length=place.length,
        )


def finish(evaluation: Evaluation) -> None:
    Evaluation.objects.filter(pk=evaluation.pk).update(
        stage=Stage.SUMMARISING, sandbox="bubblewrap", rollouts_planned=6
    )
    evaluation.refresh_from_db()
    services.complete(evaluation, report=REPORT, headline=HEADLINE)


@pytest.mark.parametrize("url", OF_A_RUN)
def test_measures_of_a_pending_version_are_for_its_owner_and_moderators(clients, pending, url):
    run(pending)
    statuses = {who: client.get(url).status_code for who, client in clients.items()}
    assert statuses == {"anonymous": 404, "other": 404, "owner": 200, "moderator": 200}


def test_statistics(anonymous, public):
    evaluation = run(public)
    body = anonymous.get(STATS).json()
    expected = {
        "evaluation": evaluation.pk,
        "model": "test",
        "profile": "quick",
        "sandbox": "bubblewrap",
        "digest": public.sha256,
        "tasks": 3,
        "rollouts": 6,
        "rollouts_per_task": 2,
        "group": 2,
        "seconds": 12.5,
        "tokens": 900,
        "mean_reward": estimate(0.5),
        "signal": None,
        "missing": {"signal": "No task has two rewards."},
        "vs2_128": estimate(2.0),
        "near_duplicate_rate": 0.25,
        "settings": evaluation.settings,
    }
    assert {key: body[key] for key in expected} == expected


def test_the_headline_is_in_the_catalogue(anonymous, public):
    run(public)
    headline = anonymous.get(VERSION).json()["headline"]
    assert headline["signal"] == {"value": 0.5, "low": 0.4, "high": 0.6}
    assert headline["vs2_128"] is None


def test_no_statistics_before_an_evaluation(anonymous, public):
    answer = anonymous.get(STATS)
    assert answer.status_code == 404
    assert "not been evaluated" in answer.json()["detail"]


def test_an_evaluation_under_way_has_no_statistics_yet(anonymous, public):
    evaluation = make_evaluation(public)
    Evaluation.objects.filter(pk=evaluation.pk).update(stage=Stage.RUNNING)
    answer = anonymous.get(STATS)
    assert answer.status_code == 404
    assert "running" in answer.json()["detail"]


def test_a_later_run_does_not_hide_the_numbers(anonymous, public):
    first = run(public)
    make_evaluation(public)
    assert anonymous.get(STATS).json()["evaluation"] == first.pk


@pytest.mark.parametrize(("model", "status"), [("test", 200), ("other", 404), ("%00", 404)])
def test_statistics_of_one_model(anonymous, public, model, status):
    run(public)
    assert anonymous.get(f"{STATS}?model={model}").status_code == status


def test_tasks_and_how_hard_they_are(anonymous, public):
    run(public)
    tasks = anonymous.get(TASKS).json()["results"]
    assert [(task["index"], task["p"]) for task in tasks] == [(5, 0.0), (6, 0.5), (7, 1.0)]
    assert tasks[0]["preview"].startswith("Flip 0.")
    assert len(tasks[0]["preview"]) == 500
    band = anonymous.get(f"{TASKS}?p_min=0.2&p_max=0.8").json()["results"]
    assert [task["index"] for task in band] == [6]
    assert anonymous.get(f"{TASKS}?p_min=x").status_code == 400


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [(5, 0), (5, 1), (6, 0), (6, 1), (7, 0), (7, 1)]),
        ("task=6", [(6, 0), (6, 1)]),
        ("task=99999999999999999999", []),
        ("passed=true", [(7, 0)]),
        ("passed=false", [(5, 0), (5, 1), (6, 0), (6, 1)]),
        ("min_reward=0.5", [(6, 0), (6, 1), (7, 0)]),
    ],
)
def test_rollouts(anonymous, public, query, expected):
    run(public)
    found, url = [], f"{ROLLOUTS}?page_size=4&{query}"
    while url:
        page = anonymous.get(url).json()
        found += [(row["task"], row["number"]) for row in page["results"]]
        url = page["next"]
    assert found == expected
    streamed = anonymous.get(f"{ROLLOUTS}?{query}", HTTP_ACCEPT="application/x-ndjson")
    rows = [json.loads(line) for line in b"".join(streamed.streaming_content).splitlines()]
    assert [(row["task"], row["number"]) for row in rows] == expected


def test_all_transcripts_as_lines(anonymous, public):
    run(public)
    answer = anonymous.get(ROLLOUTS, HTTP_ACCEPT="application/x-ndjson")
    assert answer["Content-Type"] == "application/x-ndjson"
    rows = [json.loads(line) for line in b"".join(answer.streaming_content).splitlines()]
    assert [row["messages"][0]["content"] for row in rows] == [
        f"{task}/{number}" for task in (5, 6, 7) for number in (0, 1)
    ]
    assert rows[-1]["error_kind"] == "environment"


def test_errors_are_problems_even_for_who_wants_lines(anonymous, pending):
    answer = anonymous.get(ROLLOUTS, HTTP_ACCEPT="application/x-ndjson")
    assert answer.status_code == 404
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["status"] == 404


def test_one_transcript(anonymous, public):
    run(public)
    url = anonymous.get(f"{ROLLOUTS}?model=test").json()["results"][3]["url"]
    body = anonymous.get(url).json()
    assert (body["task"], body["number"]) == (6, 1)
    assert body["messages"] == [{"role": "user", "content": "6/1"}]
    assert anonymous.get(f"{ROLLOUTS}6/9/").status_code == 404


def test_a_transcript_with_tools_and_seats_is_given_as_it_is_stored(anonymous, public):
    evaluation = run(public)
    (place,) = transcripts.write(evaluation.pk, [[*one_seat(), *two_seats()]])
    Rollout.objects.filter(task__index=6, number=1).update(
        transcript_key=place.key,
        transcript_offset=place.offset,
        transcript_length=place.length,
        per_agent={"Player 0": -1.0},
    )
    body = anonymous.get(f"{ROLLOUTS}6/1/").json()
    assert body["messages"] == [*one_seat(), *two_seats()]
    listed = anonymous.get(ROLLOUTS).json()["results"]
    assert [row["per_agent"] for row in listed[2:4]] == [{}, {"Player 0": -1.0}]
    # What the description says of messages is true of these.
    for message in body["messages"]:
        checked = MessageSerializer(data=message)
        assert checked.is_valid(), (message, checked.errors)
        assert not message.keys() - checked.fields.keys()


@pytest.mark.parametrize("url", [TASKS, ROLLOUTS])
def test_lists_cost_the_same_whatever_their_length(anonymous, public, url):
    evaluation = run(public)

    def cost() -> int:
        with CaptureQueriesContext(connection) as counted:
            assert anonymous.get(url).status_code == 200
        return len(counted)

    before = cost()
    for position in range(3, 9):
        task = Task.objects.create(
            evaluation=evaluation,
            index=5 + position,
            position=position,
            prompt="More.",
            embedding=[1.0] * EMBEDDING_DIMENSIONS,
        )
        add_rollouts(task, 0.5)
    assert cost() == before


def test_who_may_ask_for_an_evaluation(clients, public):
    make_model()
    statuses = {who: client.post(EVALUATIONS).status_code for who, client in clients.items()}
    assert statuses == {"anonymous": 401, "other": 403, "owner": 202, "moderator": 202}


def test_others_do_not_learn_of_a_pending_version(clients, pending):
    assert clients["other"].post(EVALUATIONS).status_code == 404


def test_an_evaluation_is_started_once(owner, public):
    make_model()
    client = client_of(owner)
    answer = client.post(EVALUATIONS, {"model": "test", "profile": "quick"})
    assert answer.status_code == 202
    body = answer.json()
    assert answer["Location"] == body["url"]
    assert (body["stage"], body["progress"]) == ("queued", {"done": 0, "total": 0})
    assert client.post(EVALUATIONS).json()["id"] == body["id"]
    assert Evaluation.objects.count() == 1
    event = Event.objects.get(action="evaluation.started")
    assert event.actor_name == "ada"


def test_an_evaluation_needs_the_scope(owner, public):
    answer = client_of(owner, Scope.READ, Scope.UPLOAD).post(EVALUATIONS)
    assert answer.status_code == 403
    assert "'evaluate'" in answer.json()["detail"]


@pytest.mark.parametrize("asked", [{"model": "gone"}, {"model": "off"}, {"profile": "gone"}])
def test_an_evaluation_with_what_there_is_not(owner, public, asked):
    make_model()
    ReferenceModel.objects.create(name="off", base_url="http://x", model="x", is_enabled=False)
    answer = client_of(owner).post(EVALUATIONS, asked)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == next(iter(asked))


def test_nothing_to_measure_with(owner, public):
    answer = client_of(owner).post(EVALUATIONS)
    assert answer.status_code == 409
    assert "default reference model" in answer.json()["detail"]


def test_too_many_evaluations_are_refused_for_a_while(owner, public, monkeypatch):
    monkeypatch.setattr(EvaluateThrottle, "rate", "1/hour")
    make_model()
    client = client_of(owner)
    assert [client.post(EVALUATIONS).status_code for _ in range(2)] == [202, 429]


def test_an_evaluations_fault_and_logs_are_for_owner_and_moderators(clients, public):
    evaluation = make_evaluation(public)
    job = Job.objects.get(evaluation=evaluation)
    Job.objects.filter(pk=job.pk).update(log="pip could not find it")
    services.fail(evaluation, fault="The build failed.")
    url = f"/api/v1/evaluations/{evaluation.pk}/"
    for who, client in clients.items():
        body = client.get(url).json()
        assert body["stage"] == "failed"
        if who in ("owner", "moderator"):
            assert body["fault"] == "The build failed."
            assert body["jobs"][0]["log"] == "pip could not find it"
        else:
            assert (body["fault"], body["jobs"]) == (None, None)


def test_an_evaluation_of_a_pending_version_is_hidden(clients, pending):
    evaluation = make_evaluation(pending)
    url = f"/api/v1/evaluations/{evaluation.pk}/"
    statuses = {who: client.get(url).status_code for who, client in clients.items()}
    assert statuses == {"anonymous": 404, "other": 404, "owner": 200, "moderator": 200}
    assert clients["owner"].get("/api/v1/evaluations/99999999999999999999/").status_code == 404


def test_progress_is_a_fraction(owner, public):
    evaluation = run(public)
    jobs.cancel_all(evaluation)
    body = client_of(owner).get(f"/api/v1/evaluations/{evaluation.pk}/").json()
    assert body["progress"] == {"done": 6, "total": 6}


def test_models_without_addresses_or_keys(anonymous):
    make_model(api_key="sk-secret", base_url="http://gpu.internal/v1")
    ReferenceModel.objects.create(name="off", base_url="http://x", model="x", is_enabled=False)
    answer = anonymous.get("/api/v1/models/")
    assert [model["name"] for model in answer.json()["results"]] == ["test"]
    assert "sk-secret" not in answer.content.decode()
    assert "gpu.internal" not in answer.content.decode()


def test_how_a_model_is_offered_tools_is_told_and_kept_as_it_was(anonymous, owner, public):
    model = make_model(tool_calls="text")
    evaluation = run(public)
    ReferenceModel.objects.filter(pk=model.pk).update(tool_calls="native")
    (listed,) = anonymous.get("/api/v1/models/").json()["results"]
    assert listed["tool_calls"] == "native"
    body = client_of(owner).get(f"/api/v1/evaluations/{evaluation.pk}/").json()
    assert body["settings"]["tool_calls"] == "text"
