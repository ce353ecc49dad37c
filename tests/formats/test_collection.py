"""Several environments of one package, from one upload to the statistics of each."""

from pathlib import Path

import pytest

from environments.models import Version
from graders import services
from graders.models import Profile, Rollout, Task
from graders.states import Stage
from hub.accounts.services import ensure_service_user
from tests.evaluating import evaluate, upload
from tests.factories import SMALL_PROFILE

PROJECT = """[project]
name = "counting"
version = "1.0.0"
dependencies = ["reasoning-gym==0.1.25"]

[tool.practicum]
args = { seed = 5, size = 4 }

[[tool.practicum.environments]]
name = "legs"
args = { name = "leg_counting" }

[[tool.practicum.environments]]
name = "letters"
args = { name = "letter_counting" }
max_turns = 1
"""


@pytest.mark.django_db(transaction=True)
@pytest.mark.e2e
@pytest.mark.index
@pytest.mark.timeout(600)
def test_each_is_evaluated_by_itself_from_one_lock(tmp_path: Path, settings: object) -> None:
    settings.SANDBOX_DRIVER = "bubblewrap"
    services.ensure_embedded_model(f"unix:{settings.PATHS.model_socket}")
    Profile.objects.update_or_create(is_default=True, defaults=SMALL_PROFILE | {"tasks": 2})
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    upload(ensure_service_user("practicum"), tmp_path, "legs")
    versions = list(Version.objects.order_by("pk"))
    assert [version.environment.name for version in versions] == ["legs", "letters"]
    evaluations = [evaluate(version) for version in versions]
    assert [one.stage for one in evaluations] == [Stage.DONE] * 2, [
        one.fault for one in evaluations
    ]
    assert "reasoning-gym==0.1.25 " in versions[0].lock
    assert versions[0].lock == versions[1].lock
    assert Rollout.objects.filter(error_kind="").count() == 8
    asked = [Task.objects.filter(evaluation=one).first().prompt for one in evaluations]
    assert "legs" in asked[0]
    assert "letter" in asked[1]
