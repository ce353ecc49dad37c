"""`load_dataset` as people write it: prepared from a hub at build, offline at run time."""

import json

import pytest

from graders.bundling import lock
from graders.errors import EnvironmentFault
from graders.pipeline import bundles
from graders.sandbox.base import Limits
from graders.session import Launch, Request, Session
from tests.bundling.hub import Hub
from tests.bundling.test_real_index import real_store  # noqa: F401 - a fixture
from tests.bundling.versions import build, stored_version
from tests.runner.bench import Chat

pytestmark = [pytest.mark.django_db, pytest.mark.index, pytest.mark.timeout(900)]

# What verifiers 0.3.1 brings.
REQUIRED = "datasets==5.2.0"
MODULE = """
from datasets import load_dataset

class Sums:
    def __init__(self, rows):
        self.rows = rows
    def __len__(self):
        return len(self.rows)
    def __getitem__(self, at):
        return {"question": self.rows[at]["question"]}
    def score_answer(self, answer, entry):
        return 1.0

def load_environment(name="someone/sums"):
    return Sums(load_dataset(name, split="train"))
"""


@pytest.fixture
def hub():
    rows = [{"question": f"{number} + 1", "answer": str(number + 1)} for number in range(5)]
    found = Hub(
        "someone/sums",
        {
            "README.md": b"---\nlicense: mit\n---\n# Sums\n",
            "data/train.jsonl": "\n".join(map(json.dumps, rows)).encode(),
            "data/test.jsonl": json.dumps(rows[0]).encode(),
        },
    )
    yield found
    found.stop()


@pytest.fixture(autouse=True)
def _settings(hub, real_store, settings, monkeypatch):  # noqa: F811 - the fixture
    settings.DATA_HOSTS = [hub.url, f"http://{hub.cdn}"]
    settings.DATA_HUB = hub.url
    monkeypatch.setattr(bundles, "store", lambda: real_store)


def launch(version, bundle, **changed) -> Launch:
    terms = {
        "bundle": bundle,
        "entry": version.entry,
        "format": None,
        "args": {},
        "paths": tuple(f"/env/{path}" for path in bundles.import_paths(version)),
        "max_turns": 1,
        "reward_range": (0.0, 1.0),
        "limits": Limits(memory_mb=1024, seconds=240),
        "concurrency": 4,
        "job": "offline",
    }
    return Launch(**(terms | changed))


def test_load_dataset_works_offline_after_the_step(sandbox, hub):
    entry = {"entry": "held:load_environment", "prepare": "held:load_environment"}
    version = stored_version(REQUIRED, module=MODULE, import_paths=[""], **entry)
    build(version, sandbox)
    assert any("resolve" in asked for asked in hub.seen)
    data = {file.path: file for file in lock.read_data(version.lock)}
    assert any(path.endswith("sums-train.arrow") for path in data)
    assert not any(path.endswith(".lock") for path in data)
    hub.stop()
    with bundles.held(version, sandbox) as bundle:
        with Session(sandbox, launch(version, bundle), Chat(lambda *_: "2")) as session:
            assert session.hello.tasks == 5
            shown = session.peek([0, 4])
            results = []
            session.run([Request(task, 0, task) for task in range(5)], results.append)
        assert shown[0].messages[-1]["content"].endswith("0 + 1")
        assert [one.reward for one in results] == [1.0] * 5
        with pytest.raises(
            EnvironmentFault, match=r"(?s)The sandbox has no network\. Declare what"
        ) as told:
            args = {"name": "someone/else"}
            with Session(sandbox, launch(version, bundle, args=args)):
                pass
    assert "someone/else" in str(told.value)
