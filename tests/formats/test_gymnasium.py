"""Gymnasium's own environments and spaces, from the package index, in the sandbox."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graders.errors import EnvironmentFault, ModelUnavailable
from graders.session import Request
from tests.formats.bundled import Bundled
from tests.runner.bench import Chat

pytestmark = [pytest.mark.index, pytest.mark.timeout(600)]
proves = pytest.mark.proves

Bundle = Callable[[str | Path], Bundled]
Messages = list[dict[str, Any]]

PROJECT = """
[project]
name = "odd-spaces"
version = "1"
dependencies = ["gymnasium==1.4.0"]

[tool.practicum]
entry = "odd_spaces:make"
max_turns = 3
"""

SOURCE = '''
import gymnasium
import numpy
from gymnasium import spaces


class Odd(gymnasium.Env):
    """A thing of many parts."""

    action_space = spaces.Dict(
        n=spaces.Discrete(3, start=1),
        x=spaces.Box(-1, 1, (2,), numpy.float32),
        m=spaces.MultiDiscrete([2, 3]),
        t=spaces.Tuple([spaces.MultiBinary(2), spaces.Box(0, 9, (), numpy.int64)]),
        w=spaces.Text(5),
    )
    observation_space = spaces.Dict(a=spaces.Discrete(2), b=spaces.Box(-1, 1, (2,)))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return {"a": 1, "b": numpy.array([1 / 3, 0], numpy.float32)}, {}

    def step(self, action):
        if action["n"] == 3:
            raise RuntimeError("three is too many")
        assert self.action_space.contains(action), action
        return {"a": 1, "b": numpy.zeros(2)}, 0.5, False, False, {}


class Picture(Odd):
    observation_space = spaces.Box(0, 255, (64, 64, 3), numpy.uint8)


make = Odd
'''


@pytest.fixture
def ponds(bundled: Bundle) -> Bundled:
    return bundled("gymnasium")


@pytest.fixture
def odd_spaces(bundled: Bundle, tmp_path: Path) -> Bundled:
    folder = tmp_path / "odd-spaces"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "odd_spaces.py").write_text(SOURCE)
    return bundled(folder)


def walk(messages: Messages, seed: int) -> str:
    """A step on a shortest way over the pond that was shown last."""
    lines = [
        one for one in messages[-1]["content"].splitlines() if re.fullmatch(r"[SFHG\[\]]+", one)
    ]
    at = next((row, line.index("[")) for row, line in enumerate(lines) if "[" in line)
    pond = [re.sub(r"[\[\]]", "", line) for line in lines]
    ways, seen = [(at, [])], {at}
    moves = {"left": (0, -1), "down": (1, 0), "right": (0, 1), "up": (-1, 0)}
    while ways:
        (row, column), steps = ways.pop(0)
        if pond[row][column] == "G":
            return f"The way is {', '.join(steps[1:])}, so now: {steps[0]}."
        for name, (down, right) in moves.items():
            there = row + down, column + right
            if (
                there not in seen
                and all(0 <= one < len(pond) for one in there)
                and pond[there[0]][there[1]] != "H"
            ):
                seen.add(there)
                ways.append((there, [*steps, name]))
    raise AssertionError(pond)


@proves("gymnasium", "recognised")
@proves("gymnasium", "multi-turn")
def test_ponds_are_shown_and_crossed(ponds: Bundled) -> None:
    results: list[Any] = []
    with ponds.session(Chat(walk)) as session:
        assert (session.hello.format, session.hello.tasks) == ("gymnasium", None)
        previews = session.peek([0, 1])
        session.run([Request(task, n, n) for task in range(4) for n in range(2)], results.append)
    system, shown = previews[0].messages
    assert "Holes in the ice" in system["content"]
    assert system["content"].endswith("0: Move left\n1: Move down\n2: Move right\n3: Move up")
    assert shown["content"] != previews[1].messages[1]["content"]
    assert [(one.reward, one.error_text) for one in results] == [(1.0, "")] * 8
    assert min(one.turns for one in results) >= 6


@proves("gymnasium", "single turn")
def test_an_environment_by_its_id(ponds: Bundled) -> None:
    told = {"entry": "gymnasium:make", "args": {"id": "Blackjack-v1"}, "reward_range": (-1.0, 1.0)}
    results = ponds.run(Chat(lambda *_: "I stick."), [Request(n, 0, n) for n in range(8)], **told)
    assert {(one.turns, one.error_text) for one in results} == {(1, "")}
    assert len({one.reward for one in results}) > 1
    assert re.fullmatch(r"\[\d+, \d+, [01]\]", results[0].messages[1]["content"])


def test_actions_that_are_possible_and_replies_without_one(ponds: Bundled) -> None:
    def say(messages: Messages, seed: int) -> str:
        turn = len(messages) // 2
        offered = re.findall(
            r"^\d(?=: )", messages[1]["content"].partition("Possible now")[2], re.M
        )
        impossible = next(one for one in "0123" if one not in offered) if len(offered) < 4 else "5"
        return ["Well...", impossible, f"Not {impossible} but {offered[0]}"][turn - 1]

    told = {"entry": "gymnasium:make", "args": {"id": "Taxi-v4"}, "reward_range": (-30.0, 20.0)}
    result = ponds.run(Chat(say), [Request(0, 0, 1)], max_turns=3, **told)[0]
    assert (result.reward, result.turns, result.error_text) == (-1.0, 3, "")
    system, shown, _, nothing, _, impossible, _ = [one["content"] for one in result.messages]
    assert "green the taxi with the passenger" in system
    assert " yellow]" in shown
    assert nothing.startswith("Your reply names no action. Choose an action by its number or its")
    assert "is not possible now. Possible:\n" in impossible


@proves("gymnasium", "deterministic")
def test_the_same_ponds_alone_and_among_others(ponds: Bundled) -> None:
    chat = Chat(lambda messages, seed: str((seed + len(messages)) % 4))
    assert ponds.is_repeatable(chat, args={"is_slippery": True})


def test_other_spaces_as_json_and_errors_told_apart(odd_spaces: Bundled) -> None:
    good = {"n": 2, "x": [0.25, -1], "m": [1, 2], "t": [[0, 1], 7], "w": "abc"}

    replies = iter(
        [
            "",
            json.dumps(good | {"n": 3}),
            json.dumps(good | {"n": 4}),
            f"So {json.dumps(good)}!",
            "{",
        ]
    )

    def say(messages: Messages, seed: int) -> str:
        if not (reply := next(replies)):
            raise ModelUnavailable("It is down.")
        return reply

    requests = [Request(task, 0, 1) for task in range(3)]
    model, broken, fine = odd_spaces.run(Chat(say), requests, concurrency=1)
    assert (model.error_kind, model.reward) == ("model", None)
    assert (broken.error_kind, broken.reward) == ("environment", None)
    assert "RuntimeError: three is too many\n  odd_spaces.py, line" in broken.error_text
    assert (fine.error_kind, fine.reward, fine.turns) == (None, 0.5, 3)
    system, first, _, refused, _, second, _ = [one["content"] for one in fine.messages]
    assert system.startswith("A thing of many parts.\n\nGive the action as JSON.")
    assert '"x": [a number from -1 to 1, a number from -1 to 1]' in system
    assert json.loads(first) == {"a": 1, "b": [0.333333, 0]}
    assert refused.startswith("Your reply has no such action in it.")
    assert json.loads(second) == {"a": 1, "b": [0, 0]}


def test_pictures_are_refused(odd_spaces: Bundled) -> None:
    with (
        pytest.raises(EnvironmentFault, match=r"pictures \(64 x 64 x 3\); models read text alone"),
        odd_spaces.session(entry="odd_spaces:Picture"),
    ):
        pass
