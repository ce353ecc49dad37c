"""SkyRL-gym's environments and the upload's rows, from the package index, in the sandbox."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graders.errors import EnvironmentFault, ModelUnavailable
from graders.session import Request
from tests.formats.bundled import Bundled
from tests.formats.conftest import EXAMPLES
from tests.runner.bench import Chat

pytestmark = [pytest.mark.index, pytest.mark.timeout(600)]
proves = pytest.mark.proves

Bundle = Callable[[str | Path], Bundled]
Messages = list[dict[str, Any]]

PROJECT = """
[project]
name = "odd-rows"
version = "1"
dependencies = ["skyrl-gym==0.4.0"]

[tool.practicum]
args = { data = "odd_rows/rows.jsonl", env_class = "odd", env_config = { bonus = 0.25 } }
reward_range = [-1, 2]
max_turns = 3
"""

# Registered by its package, as SkyRL's users do it; it runs code with SkyRL-gym's own tool.
SOURCE = """
from skyrl_gym.envs.base_text_env import BaseTextEnv, BaseTextEnvStepOutput
from skyrl_gym.envs.registration import register
from skyrl_gym.tools import PythonCodeExecutorToolGroup


class Odd(BaseTextEnv):
    def __init__(self, env_config, extras):
        super().__init__()
        self.bonus, self.answer = env_config.bonus, extras["answer"]
        self.max_turns = extras["max_turns"]
        self.init_tool_groups([PythonCodeExecutorToolGroup()])

    def init(self, prompt):
        return [{"role": "system", "content": f"You have {self.max_turns} turns."}, *prompt], {}

    def step(self, action):
        self.turns += 1
        if action == "raise":
            raise RuntimeError("the row broke")
        code, mark, _ = action.partition("</python>")
        done = not mark
        told = "" if done else self.run(code.removeprefix("<python>"))
        return BaseTextEnvStepOutput(
            observations=[] if done else [{"role": "user", "content": told}],
            reward=self.bonus + (action == self.answer),
            done=done,
            metadata={},
            postprocessed_action=code + mark,
        )

    def run(self, code):
        return self._execute_tool("PythonCodeExecutorToolGroup", "python", [code])

    def get_metrics(self):
        return {"turns": self.turns}


register(id="odd", entry_point="odd_rows:Odd")
"""
CODE = "```python\nprint(int(input()) * 2)\n```"
ROWS = [
    {"prompt": [{"role": "user", "content": "code"}], "answer": "42"},
    {"prompt": [{"role": "user", "content": "raise"}], "answer": ""},
    {"prompt": [{"role": "user", "content": "absent"}], "answer": ""},
    {"prompt": "boxed", "env_class": "aime", "reward_model": {"ground_truth": "33"}},
    {
        "prompt": [{"role": "user", "content": "double"}],
        "env_class": "lcb",
        "reward_spec": {
            "ground_truth": json.dumps([{"input": "4\n", "output": "8\n", "testtype": "stdin"}])
        },
    },
    {"answer": ""},
]


@pytest.fixture
def sums(bundled: Bundle) -> Bundled:
    return bundled("skyrl-gym")


@pytest.fixture
def odd_rows(bundled: Bundle, tmp_path: Path) -> Bundled:
    package = tmp_path / "odd-rows" / "odd_rows"
    package.mkdir(parents=True)
    (package.parent / "pyproject.toml").write_text(PROJECT)
    (package / "__init__.py").write_text(SOURCE)
    (package / "rows.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    return bundled(package.parent)


def answers() -> dict[str, str]:
    """What is right, by the question."""
    lines = (EXAMPLES / "skyrl-gym/src/market_sums/train.jsonl").read_text().splitlines()
    rows = map(json.loads, lines)
    return {row["prompt"][0]["content"]: row["reward_spec"]["ground_truth"] for row in rows}


@proves("skyrl-gym", "recognised")
@proves("skyrl-gym", "single turn")
@proves("skyrl-gym", "multi-turn")
def test_rows_of_one_and_of_several_turns(sums: Bundled) -> None:
    right = answers()
    results: list[Any] = []

    def say(messages: Messages, seed: int) -> str:
        is_first_of_several = "coins and cheese" in messages[0]["content"] and len(messages) == 1
        return "#### 1" if is_first_of_several else f"#### {right[messages[0]['content']]}"

    with sums.session(Chat(say)) as session:
        assert (session.hello.format, session.hello.tasks) == ("skyrl-gym", 12)
        previews = session.peek([0, 1])
        session.run([Request(task, 0, task) for task in range(12)], results.append)
    assert [one.messages[0]["content"] for one in previews] == list(right)[:2]
    results.sort(key=lambda one: one.task)
    assert [one.error_text for one in results] == [""] * 12
    assert [one.reward for one in results] == [1.0, pytest.approx(1.05), *[1.0] * 10]
    assert [one.turns for one in results] == [1, 2, *[1] * 10]
    assert results[1].metrics == {"steps": 2.0}
    assert results[1].messages[2]["content"].startswith("Please provide your step-by-step")


@proves("skyrl-gym", "deterministic")
def test_the_same_rows_alone_and_among_others(sums: Bundled) -> None:
    assert sums.is_repeatable(Chat(lambda messages, seed: f"#### {seed % 9 + len(messages)}"))


@proves("skyrl-gym", "tools")
def test_environments_of_the_upload_and_others_of_the_library(odd_rows: Bundled) -> None:
    def say(messages: Messages, seed: int) -> str:
        said = messages[-1]["content"]
        replies = {"code": "<python>print(6 * 7)</python> It says 41.", "raise": "raise"}
        replies |= {"boxed": "Answer: \\boxed{33}", "double": CODE}
        if said == "absent":
            raise ModelUnavailable("It is down.")
        return replies.get(said) or re.findall(r"\d+", said)[0]

    requests = [Request(task, 0, 1) for task in range(len(ROWS))]
    tool, broken, model, boxed, code, bare = odd_rows.run(Chat(say), requests)
    assert (tool.reward, tool.turns, tool.metrics) == (1.5, 2, {"turns": 2.0})
    contents = [one["content"] for one in tool.messages]
    assert contents[0] == "You have 3 turns."
    # What the environment makes of a reply is what the conversation keeps.
    assert "<python>print(6 * 7)</python>" in contents
    assert (broken.error_kind, broken.reward) == ("environment", None)
    assert "RuntimeError: the row broke\n  odd_rows/__init__.py, line" in broken.error_text
    assert (model.error_kind, model.reward) == ("model", None)
    assert (boxed.reward, boxed.error_text) == (1.0, "")
    assert (code.reward, code.error_text) == (1.0, "")
    assert bare.error_text == "Row 5 has the prompt None, no list of messages."


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"data": "market_sums/test.jsonl"}, "There is no file market_sums/test.jsonl. Name it"),
        ({"data": "market_sums/__init__.py"}, "market_sums/__init__.py, line 1, is not JSON"),
    ],
)
def test_data_that_cannot_be_read(sums: Bundled, args: dict[str, Any], words: str) -> None:
    with pytest.raises(EnvironmentFault, match=words), sums.session(args=args):
        pass
