"""The whole way of a version, with nothing replaced: REST upload, sandbox, model, statistics."""

from pathlib import Path

import pytest
from django.conf import settings

from graders import services, sweeping, transcripts, working
from graders.models import Job, Profile, Rollout
from graders.states import KINDS, OPEN_STATUSES, Stage
from hub.accounts.models import User
from hub.accounts.services import ensure_service_user
from tests.evaluating import evaluate, upload
from tests.factories import SMALL_PROFILE

EXAMPLES = settings.BASE_DIR / "examples"
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.e2e]


@pytest.fixture(autouse=True)
def measures(db: None) -> None:
    """The embedded model and a profile that a test has time for."""
    services.ensure_embedded_model(f"unix:{settings.PATHS.model_socket}")
    Profile.objects.update_or_create(is_default=True, defaults=SMALL_PROFILE | {"shard_tasks": 2})


@pytest.fixture
def owner() -> User:
    return ensure_service_user("practicum")


@pytest.fixture(params=["bubblewrap", pytest.param("docker", marks=pytest.mark.docker)])
def driver(request: pytest.FixtureRequest, settings: object) -> str:
    settings.SANDBOX_DRIVER = request.param
    return request.param


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("number-hunt", marks=pytest.mark.proves("gymnasium", "evaluated")),
        pytest.param("algebra-drill", marks=pytest.mark.proves("dataset", "evaluated")),
    ],
)
def test_an_example_is_measured(driver: str, owner: User, name: str) -> None:
    version = upload(owner, EXAMPLES / name)
    evaluation = evaluate(version)
    assert evaluation.stage == Stage.DONE, evaluation.fault
    assert (evaluation.sandbox, version.status, version.review) == (driver, "evaluated", "approved")
    rollouts = Rollout.objects.filter(task__evaluation=evaluation)
    assert rollouts.count() == evaluation.rollouts_planned == 8
    assert not rollouts.exclude(error_kind="").exists()

    difficulty = evaluation.report["difficulty"]
    assert difficulty["tasks"] == 4
    assert difficulty["pass_at_1"]["value"] == pytest.approx(
        sum(r.passed for r in rollouts) / rollouts.count()
    )
    assert evaluation.report["cost"]["tokens_out"] > 0
    assert evaluation.report["diversity"]["vs2_128"]["low"] >= 1
    headline = version.headline
    assert headline.signal_low <= headline.signal <= headline.signal_high

    rollout = rollouts.first()
    place = transcripts.Place(
        rollout.transcript_key, rollout.transcript_offset, rollout.transcript_length
    )
    roles = [message["role"] for message in transcripts.read(place)]
    assert roles[-1] == "assistant" or roles[-2] == "assistant"
    assert version.environment.latest is None or version.environment.latest == version


def _project(folder: Path, source: str, dependencies: str = "") -> Path:
    project = folder / "made-here"
    (project / "src" / "made_here").mkdir(parents=True)
    (project / "src" / "made_here" / "__init__.py").write_text(source)
    (project / "pyproject.toml").write_text(
        '[project]\nname = "made-here"\nversion = "1.0.0"\ndescription = "A test."\n'
        f"dependencies = [{dependencies}]\n"
        '[tool.practicum]\nentry = "made_here:make"\n'
    )
    return project


BROKEN = {
    "raises when imported": ("raise RuntimeError('not today')\ndef make(): ...\n", "", "not today"),
    "is of no known format": ("def make():\n    return 42\n", "", "format"),
    "has a dependency that does not exist": (
        "def make(): ...\n",
        '"no-such-package-as-this-one-1234"',
        "no-such-package-as-this-one-1234 was not found",
    ),
    "has a dependency that does not build": (
        "def make(): ...\n",
        '"python-levenshtein==0.10.2"',
        "cannot be installed",
    ),
    "ends the process": ("import os\ndef make():\n    os._exit(3)\n", "", "3"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_environment_fails_with_a_reason_its_owner_can_use(
    owner: User, tmp_path: Path, case: str, settings: object
) -> None:
    settings.SANDBOX_DRIVER = "bubblewrap"
    source, dependencies, words = BROKEN[case]
    version = upload(owner, _project(tmp_path, source, dependencies))
    evaluation = evaluate(version)
    assert (evaluation.stage, version.status) == (Stage.FAILED, "failed")
    assert words in version.fault
    assert not Job.objects.filter(status__in=OPEN_STATUSES).exists()


def test_a_model_that_does_not_answer_is_no_score(owner: User, settings: object) -> None:
    settings.SANDBOX_DRIVER = "bubblewrap"
    model = services.ensure_embedded_model("http://127.0.0.1:9/v1")
    model.timeout_s = 1
    model.save()
    version = upload(owner, EXAMPLES / "number-hunt")
    sweeping.begin(version.pk)
    for _ in range(20):
        for queue in KINDS:
            working.work(queue, worker="test")
        Job.objects.update(not_before=None)
    evaluation = version.evaluations.get()
    assert evaluation.stage == Stage.FAILED
    assert "did not answer" in evaluation.fault
    assert not Rollout.objects.exists()
