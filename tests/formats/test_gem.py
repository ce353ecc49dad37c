"""GEM's games, questions and tools, from the library on the package index, in the sandbox."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graders.errors import ModelUnavailable
from graders.runner.formats.gem import BOXED
from graders.session import Request
from tests.formats.bundled import Bundled
from tests.runner.bench import Chat

pytestmark = pytest.mark.index

Bundles = Callable[[str | Path], Bundled]

PROJECT = """
[project]
name = "odd-sums"
version = "0.1.0"
dependencies = ["gem-llm==0.1.0"]

[tool.practicum]
entry = "odd_sums:make"
max_turns = 3
"""

# A question that ends with the reply, or raises; with GEM's Python tool and, if asked for, with
# the wrapper that puts the whole episode into each observation.
SOURCE = """
from gem.core import Env
from gem.tools.python_code_tool import PythonCodeTool
from gem.tools.tool_env_wrapper import ToolEnvWrapper
from gem.wrappers.observation_wrapper import ObservationWrapper


class Sum(Env):
    def reset(self, seed=None):
        super().reset(seed)
        self.seed = seed
        return f"What is {seed} + 1?", {"suffix": "Answer now."}

    def step(self, action):
        if action == "raise":
            raise RuntimeError("the sum broke")
        right = action == str(self.seed + 1)
        return "Wrong.", float(right), right, False, {"suffix": "Answer again."}


def make(whole=False):
    if whole:
        return ObservationWrapper(Sum(), include_chat_template=False)
    return ToolEnvWrapper(Sum(), tools=[PythonCodeTool()])
"""


@pytest.fixture(scope="module")
def odd_sums(bundled: Bundles, tmp_path_factory: pytest.TempPathFactory) -> Bundled:
    folder = tmp_path_factory.mktemp("odd") / "odd-sums"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "odd_sums.py").write_text(SOURCE)
    return bundled(folder)


def seed_of(messages: list[dict[str, Any]]) -> int:
    """The task that a sum is of."""
    return int(re.match(r"What is (\d+)", messages[0]["content"])[1])


def halve(messages: list[dict[str, Any]], seed: int) -> str:
    """The middle of what GEM's hints leave of 1 to 10."""
    said = "\n".join(one["content"] for one in messages if one["role"] == "user")
    low = max([1, *(int(found) + 1 for found in re.findall(r"higher than (\d+)", said))])
    high = min([10, *(int(found) - 1 for found in re.findall(r"lower than (\d+)", said))])
    return f"\\boxed{{{(low + high) // 2}}}"


@pytest.mark.proves("gem", "recognised")
@pytest.mark.proves("gem", "multi-turn")
def test_a_game_with_its_hints(bundled: Bundles) -> None:
    game, results = bundled("gem"), []
    with game.session(Chat(halve)) as session:
        assert (session.hello.format, session.hello.tasks) == ("gem", None)
        preview = session.peek([3])[0].messages
        session.run([Request(task, 0, 7) for task in range(8)], results.append)
    assert len(preview) == 1
    assert preview[0]["content"].endswith("start the game.\nEnter your next guess.")
    assert [one.error_kind for one in results] == [None] * 8
    assert all(one.reward == 1.0 for one in results)
    assert max(one.turns for one in results) > 1
    longest = max(results, key=lambda one: one.turns)
    hints = [one["content"] for one in longest.messages if one["role"] == "user"][1:]
    assert all(re.search(r"than \d+\.\nEnter your next guess\.$", hint) for hint in hints)


@pytest.mark.proves("gem", "single turn")
def test_a_question_says_where_the_answer_goes(bundled: Bundles) -> None:
    def reckon(messages: list[dict[str, Any]], seed: int) -> str:
        numbers = map(int, re.findall(r"\d+", messages[-1]["content"]))
        return f"It is \\boxed{{{math.gcd(*numbers)}}}."

    args = {"env_id": "rg:gcd"}
    results = bundled("gem").run(Chat(reckon), [Request(n, 0, 1) for n in range(4)], args=args)
    assert [(one.reward, one.turns) for one in results] == [(1.0, 1)] * 4
    assert results[0].messages[0] == {"role": "system", "content": BOXED}


@pytest.mark.proves("gem", "deterministic")
def test_the_same_game_alone_and_among_others(bundled: Bundles) -> None:
    chat = Chat(lambda messages, seed: f"\\boxed{{{(len(str(messages)) + seed) % 10 + 1}}}")
    assert bundled("gem").is_repeatable(chat)


@pytest.mark.proves("gem", "tools")
def test_tools_and_errors(odd_sums: Bundled) -> None:
    spying = "import os; open(f'/proc/{os.getppid()}/mem', 'r+b')"

    def say(messages: list[dict[str, Any]], seed: int) -> str:
        found = re.match(r"Code execution result: (\d+)", messages[-1]["content"])
        if found:
            return found[1]
        if seed_of(messages) == 1:
            raise ModelUnavailable("It is down.")
        codes = {2: spying, 4: "print(2 + 3)"}
        return (
            f"<python>{codes[seed_of(messages)]}</python>"
            if seed_of(messages) in codes
            else "raise"
        )

    requests = [Request(task, 0, 1) for task in (1, 2, 3, 4)]
    model, spy, broken, fine = odd_sums.run(Chat(say), requests)
    assert (model.error_kind, model.reward) == ("model", None)
    # What the model wrote, run by the tool, cannot open the process that works out the reward.
    assert "PermissionError" in spy.messages[2]["content"]
    assert (broken.error_kind, broken.reward) == ("environment", None)
    assert broken.error_text.startswith("RuntimeError: the sum broke\n")
    assert "\n  odd_sums.py, line" in broken.error_text
    assert (fine.error_kind, fine.reward, fine.turns) == (None, 1.0, 2)
    assert "wrapped within <python>" in fine.messages[0]["content"]


def test_a_whole_observation_is_the_whole_conversation(odd_sums: Bundled) -> None:
    chat = Chat(lambda messages, seed: "5" if "3" in messages[0]["content"] else "3")
    result = odd_sums.run(chat, [Request(4, 0, 1)], args={"whole": True})[0]
    assert (result.reward, result.turns) == (1.0, 2)
    asked = [one["content"] for body, _ in chat.asked for one in body["messages"]]
    assert asked == ["What is 4 + 1?\nAnswer now.", "What is 4 + 1?\n3\nWrong.\nAnswer again."]
