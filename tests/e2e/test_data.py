"""An environment of declared and of prepared data, from its upload to its statistics."""

import hashlib
from pathlib import Path

import pytest

from graders import services
from graders.models import Profile, Rollout
from graders.states import Stage
from hub.accounts.services import ensure_service_user
from tests.bundling.hub import Hub
from tests.evaluating import evaluate, upload
from tests.factories import SMALL_PROFILE

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.e2e,
    pytest.mark.timeout(600),
]

WORDS = b"apple\nbanana\ncherry\n"
PYPROJECT = """
[project]
name = "word-lengths"
version = "1.0.0"

[tool.practicum]
entry = "word_lengths:make"
prepare = "word_lengths:prepare"

[[tool.practicum.data]]
url = "{url}/cdn/words.txt"
sha256 = "{sha256}"
path = "raw/words.txt"
"""
MODULE = """
import json, os, urllib.request
from pathlib import Path

DATA = Path(os.environ["PRACTICUM_DATA"])


def prepare():
    hub = os.environ["HF_ENDPOINT"]
    with urllib.request.urlopen(f"{hub}/datasets/someone/lengths/resolve/main/unit.txt") as found:
        unit = found.read().decode()
    words = (DATA / "raw/words.txt").read_text().split()
    (DATA / "tasks.json").write_text(json.dumps([[word, unit] for word in words]))


class Lengths:
    def __init__(self):
        self.tasks = json.loads((DATA / "tasks.json").read_text())

    def __len__(self):
        return len(self.tasks)

    def __getitem__(self, at):
        word, unit = self.tasks[at]
        return {"question": f"How many {unit} has {word}?", "answer": len(word)}

    def score_answer(self, answer, entry):
        return float(str(entry["answer"]) == answer)


def make():
    return Lengths()
"""


@pytest.fixture
def hub():
    found = Hub("someone/lengths", {"unit.txt": b"letters", "words.txt": WORDS})
    yield found
    found.stop()


def test_a_version_with_data_is_evaluated(hub: Hub, settings: object, tmp_path: Path) -> None:
    settings.SANDBOX_DRIVER = "bubblewrap"
    settings.DATA_HOSTS = [hub.url, f"http://{hub.cdn}"]
    settings.DATA_HUB = hub.url
    services.ensure_embedded_model(f"unix:{settings.PATHS.model_socket}")
    Profile.objects.update_or_create(is_default=True, defaults=SMALL_PROFILE | {"tasks": 3})
    digest = hashlib.sha256(WORDS).hexdigest()
    (tmp_path / "pyproject.toml").write_text(PYPROJECT.format(url=hub.url, sha256=digest))
    (tmp_path / "word_lengths.py").write_text(MODULE)
    version = upload(ensure_service_user("practicum"), tmp_path, "word-lengths")
    evaluation = evaluate(version)
    assert evaluation.stage == Stage.DONE, evaluation.fault
    log = evaluation.jobs.get(kind="build").log
    assert "data: 2 files, 88 bytes" in log, log
    prompts = list(evaluation.tasks.values_list("prompt", flat=True))
    assert any("How many letters has banana?" in prompt for prompt in prompts)
    rollouts = Rollout.objects.filter(task__evaluation=evaluation)
    assert rollouts.count() == evaluation.rollouts_planned == 6
    assert not rollouts.exclude(error_kind="").exists()
