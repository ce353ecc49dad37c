"""reasoning-gym 0.1.25 in the sandbox: every data set, its own answers, the same tasks."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graders.errors import ModelUnavailable
from graders.session import Request
from tests.formats.bundled import Bundled
from tests.formats.conftest import EXAMPLES
from tests.runner.bench import Chat

pytestmark = [pytest.mark.index, pytest.mark.timeout(600)]
FORM = "reasoning-gym"
proves = pytest.mark.proves

Bundle = Callable[[str | Path], Bundled]

# Every data set but `composite`, which is made of the others; task i is the first of the i-th.
# The prompt ends in an answer that the data set gives itself, wherever it keeps it.
ALL = """
import json
from reasoning_gym import create_dataset
from reasoning_gym.dataset import ProceduralDataset
from reasoning_gym.factory import DATASETS

KEPT = ("example_correct_answer", "example_answer", "possible_answer")

class All(ProceduralDataset):
    def __init__(self):
        self.names = [name for name in DATASETS if name != "composite"]
        self.parts = [create_dataset(name, seed=0, size=1) for name in self.names]
        super().__init__(config=None, seed=0, size=len(self.parts))

    def __getitem__(self, index):
        entry = self.parts[index][0]
        gold = entry["answer"]
        if gold is None:
            gold = next((entry["metadata"][key] for key in KEPT if key in entry["metadata"]), "")
        if not isinstance(gold, str):
            gold = json.dumps(gold)
        question = f"{self.names[index]}\\n{entry['question']}\\n[[gold]]{gold}"
        return {**entry, "question": question, "index": index}

    def score_answer(self, answer, entry):
        return self.parts[entry["index"]].score_answer(answer, entry)

make = All
"""
# Those that can check an answer and have none to give.
WITHOUT_ANSWERS = {"boxnet", "rush_hour"}


def project(folder: Path, source: str) -> Path:
    made = folder / "every-data-set"
    made.mkdir()
    (made / "every.py").write_text(source)
    (made / "pyproject.toml").write_text(
        '[project]\nname = "every"\nversion = "1"\ndependencies = ["reasoning-gym==0.1.25"]\n'
        '[tool.practicum]\nentry = "every:make"\nmin_memory_mb = 1024\n'
    )
    return made


@pytest.fixture
def every(bundled: Bundle, tmp_path: Path) -> Bundled:
    return bundled(project(tmp_path, ALL))


def sometimes(messages: list[dict[str, Any]], seed: int) -> str:
    """A reply that depends on all that was asked and on the seed."""
    digest = hashlib.sha256(f"{messages}{seed}".encode()).digest()
    return f"<answer>{2 * (digest[0] % 20)}</answer>"


@proves(FORM, "recognised")
def test_a_dependency_and_a_name_are_enough(bundled: Bundle) -> None:
    made = bundled(FORM)
    assert (made.manifest.format, made.manifest.entry) == (FORM, "reasoning_gym:create_dataset")
    assert not list(EXAMPLES.joinpath(FORM).rglob("*.py"))
    with made.session() as session:
        assert (session.hello.format, session.hello.tasks) == (FORM, 500)
        [first, again] = session.peek([3, 3])
    assert first == again
    assert [one["role"] for one in first.messages] == ["system", "user"]
    assert "<answer>" in first.messages[0]["content"]
    assert "legs" in first.messages[1]["content"]


@proves(FORM, "single turn")
def test_every_data_set_scores_its_own_answers(every: Bundled) -> None:
    def gold(messages: list[dict[str, Any]], seed: int) -> str:
        return f"<answer>{messages[-1]['content'].partition('[[gold]]')[2]}</answer>"

    with every.session() as session:
        assert (session.hello.format, session.hello.tasks) == (FORM, 105)
    results = every.run(Chat(gold), [Request(task, 0, task) for task in range(105)])
    names = [one.messages[1]["content"].partition("\n")[0] for one in results]
    assert {one.error_kind for one in results} == {None}, [one.error_text for one in results]
    assert {name for name, one in zip(names, results, strict=True) if one.reward != 1.0} == (
        WITHOUT_ANSWERS
    )
    empty = every.run(Chat(lambda *_: ""), [Request(task, 0, task) for task in range(105)])
    assert [one.error_text for one in empty if one.error_kind] == []
    assert all(one.reward < 1.0 for one in empty)


@proves(FORM, "deterministic")
def test_rollouts_can_be_repeated(bundled: Bundle) -> None:
    made = bundled(FORM)
    assert made.is_repeatable(Chat(sometimes))
    rewards = {
        one.reward for one in made.run(Chat(sometimes), [Request(0, n, n) for n in range(60)])
    }
    assert len(rewards) > 1


TASKS = (0, 1, 2)
REPLIES = ("{}", "<answer>{}</answer>", "<answer>0</answer>, no: <answer>\n{} </answer>")


def test_an_answer_counts_only_between_the_last_marks(every: Bundled) -> None:
    def marked(messages: list[dict[str, Any]], seed: int) -> str:
        name, _, gold = messages[-1]["content"].partition("[[gold]]")
        return REPLIES[asked.index(name)].format(gold)

    with every.session() as session:
        asked = [one.messages[1]["content"].partition("[[gold]]")[0] for one in session.peek(TASKS)]
    results = every.run(Chat(marked), [Request(task, 0, task) for task in TASKS])
    assert [one.reward == 1.0 for one in results] == [False, True, True]


def test_whose_fault_it_is(bundled: Bundle, tmp_path: Path) -> None:
    broken = ALL.replace("return self.parts[entry", "1 / entry['index']; return self.parts[entry")
    made = project(tmp_path, broken)

    def failing(messages: list[dict[str, Any]], seed: int) -> str:
        if messages[1]["content"].startswith(names[1]):
            raise ModelUnavailable("down")
        return "x"

    with bundled(made).session() as session:
        names = [one.messages[1]["content"].partition("\n")[0] for one in session.peek(TASKS)]
    results = bundled(made).run(Chat(failing), [Request(task, 0, task) for task in TASKS])
    assert [one.error_kind for one in results] == ["environment", "model", None]
    assert "ZeroDivisionError" in results[0].error_text
