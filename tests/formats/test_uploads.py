"""The whole way of a version of each format: upload through REST, sandbox, model, statistics."""

import tomllib

import pytest

from graders import services
from graders.models import Profile, Rollout
from graders.states import Stage
from hub.accounts.services import ensure_service_user
from tests.evaluating import evaluate, upload
from tests.factories import SMALL_PROFILE
from tests.formats.conftest import EXAMPLES

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.e2e,
    pytest.mark.index,
    pytest.mark.timeout(600),
]
proves = pytest.mark.proves


FORMS = [
    pytest.param("reasoning-gym", marks=proves("reasoning-gym", "evaluated")),
    pytest.param("verifiers-v0", marks=proves("verifiers-v0", "evaluated")),
    pytest.param("verifiers-v1", marks=proves("verifiers-v1", "evaluated")),
    pytest.param("gem", marks=proves("gem", "evaluated")),
    pytest.param("textarena", marks=proves("textarena", "evaluated")),
    pytest.param("openenv", marks=proves("openenv", "evaluated")),
    pytest.param("gymnasium", marks=proves("gymnasium", "evaluated")),
    pytest.param("skyrl-gym", marks=proves("skyrl-gym", "evaluated")),
]


@pytest.mark.parametrize("form", FORMS)
def test_an_example_is_uploaded_and_evaluated(form: str, settings: object) -> None:
    settings.SANDBOX_DRIVER = "bubblewrap"
    services.ensure_embedded_model(f"unix:{settings.PATHS.model_socket}")
    Profile.objects.update_or_create(is_default=True, defaults=SMALL_PROFILE | {"tasks": 3})
    project = tomllib.loads((EXAMPLES / form / "pyproject.toml").read_text())["project"]
    version = upload(ensure_service_user("practicum"), EXAMPLES / form, project["name"])
    evaluation = evaluate(version)
    assert evaluation.stage == Stage.DONE, evaluation.fault
    assert (version.status, version.format, evaluation.format) == ("evaluated", form, form)
    rollouts = Rollout.objects.filter(task__evaluation=evaluation)
    assert rollouts.count() == evaluation.rollouts_planned == 6
    assert not rollouts.exclude(error_kind="").exists(), rollouts.exclude(error_kind="")[0].error


def test_every_example_is_tried() -> None:
    examples = {path.parent.name for path in EXAMPLES.glob("*/pyproject.toml")}
    assert [param.values for param in FORMS] == [param.marks[0].args[:1] for param in FORMS]
    assert {form for (form,) in (param.values for param in FORMS)} == examples
