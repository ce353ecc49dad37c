"""verifiers v0: real environments of release 0.3.1 in the sandbox."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from graders.errors import EnvironmentFault, ModelUnavailable
from graders.session import Request
from tests.formats.bundled import Bundled
from tests.formats.sharing import Shared, shared
from tests.runner.bench import Chat, completion

pytestmark = pytest.mark.index
proves = pytest.mark.proves

EACH = 20  # tasks of each job
RECIPE, SHELF, SCALES = 0, EACH, 2 * EACH
ANY = {"job": "any", "size": EACH}


@pytest.fixture(scope="module")
def pantry(bundled: Any) -> Iterator[Shared]:
    with shared(bundled("verifiers-v0"), args=ANY) as session:
        yield session


@proves("verifiers-v0", "recognised")
def test_it_is_recognised_by_load_environment(bundled: Any, pantry: Shared) -> None:
    told = bundled("verifiers-v0").manifest
    assert (told.entry, told.format) == ("pantry:load_environment", "verifiers-v0")
    assert (pantry.hello.format, pantry.hello.tasks) == ("verifiers-v0", 3 * EACH)
    first, last = pantry.peek([RECIPE, SCALES])
    assert [one["role"] for one in first.messages] == ["system", "user"]
    assert first.messages[1]["content"].startswith("A recipe for ")
    assert last.messages[1]["content"] == "Which jar is it?"


def _scaled(question: str) -> str:
    people, grams, guests = map(int, re.findall(r"\d+", question))
    return f"<answer>{grams // people * guests}</answer>"


@proves("verifiers-v0", "single turn")
def test_the_rubric_scores_one_answer(pantry: Shared) -> None:
    def say(messages: list[dict[str, str]], _: int) -> str:
        return _scaled(messages[1]["content"])

    right = pantry.run(say, [Request(RECIPE + n, 0, n) for n in range(6)])
    assert [(one.reward, one.turns, one.error_text) for one in right] == [(1.0, 1, "")] * 6
    assert right[0].metrics["is_right"] == right[0].metrics["num_turns"] == 1.0
    wrong, silent = (
        pantry.run(lambda *_, text=text: text, [Request(RECIPE, 0, 0)])[0] for text in ("7", "")
    )
    assert wrong.reward == silent.reward == pytest.approx(0.02)  # the parser's grace
    assert silent.messages[-1]["content"] == ""


def _halve(messages: list[dict[str, str]]) -> str:
    low, high = 1, 30
    for said, told in zip(messages[2::2], messages[3::2], strict=True):
        tried = int(said["content"])
        is_higher = told["content"].endswith("higher.")
        low, high = (tried + 1, high) if is_higher else (low, tried - 1)
    return str((low + high) // 2)


@proves("verifiers-v0", "multi-turn")
def test_turns_are_taken_until_the_environment_ends_them(pantry: Shared) -> None:
    say = lambda messages, _: _halve(messages)  # noqa: E731
    for found in pantry.run(say, [Request(SHELF + n, 0, n) for n in range(4)]):
        assert found.error_kind is None, found.error_text
        assert found.metrics["looks"] == found.turns == found.metrics["num_turns"] <= 5
        assert found.reward == pytest.approx(1.1 - 0.1 * found.turns)
        roles = [one["role"] for one in found.messages]
        assert roles == ["system", *("user", "assistant") * found.turns]


def test_max_turns_ends_a_rollout_which_is_then_scored(pantry: Shared) -> None:
    (result,) = pantry.run(lambda *_: "0", [Request(SHELF, 0, 0)])
    assert (result.reward, result.turns, result.error_kind) == (0.0, 8, None)
    assert result.metrics["looks"] == 8.0


def _weighed(messages: list[dict[str, str]]) -> Any:
    """The heavy one of nine jars, found by weighing twice."""
    told = [one["content"].split()[1] for one in messages if one["role"] == "tool"]
    jars = list("ABCDEFGHI")
    for side in told:
        third = len(jars) // 3
        jars = {"left": jars[:third], "right": jars[-third:]}.get(side, jars[third : 2 * third])
    if len(jars) == 1:
        return jars[0]
    left, right = jars[: len(jars) // 3], jars[-(len(jars) // 3) :]
    arguments = f'{{"left": {left}, "right": {right}}}'.replace("'", '"')
    return completion("", "tool_calls", tool_calls=[(f"c{len(told)}", "weigh", arguments)])


@proves("verifiers-v0", "tools")
def test_tools_reach_the_model_and_answer_it(pantry: Shared) -> None:
    say = lambda messages, _: _weighed(messages)  # noqa: E731
    results = pantry.run(say, [Request(SCALES + n, 0, 0) for n in range(6)])
    assert [(one.reward, one.turns, one.error_text) for one in results] == [(1.0, 3, "")] * 6
    assert {one.metrics["weigh_calls"] for one in results} == {2.0}
    (tool,) = pantry.asked[0]["tools"]
    assert tool["function"]["name"] == "weigh"
    assert set(tool["function"]["parameters"]["properties"]) == {"left", "right"}
    roles = ["system", "user", *("assistant", "tool") * 2, "assistant"]
    assert [one["role"] for one in results[0].messages] == roles
    assert results[0].messages[3]["tool_call_id"] == "c0"


def test_a_call_that_fails_is_told_to_the_model(pantry: Shared) -> None:
    unequal = ("a", "weigh", '{"left": ["A"], "right": []}')

    def say(messages: list[dict[str, str]], _: int) -> Any:
        if messages[-1]["role"] == "tool":
            return "none"
        return completion("", "tool_calls", tool_calls=[unequal, ("b", "weigh", "{")])

    (result,) = pantry.run(say, [Request(SCALES, 0, 0)])
    assert (result.reward, result.error_kind) == (0.0, None), result.error_text
    refused, garbled = (one["content"] for one in result.messages[3:5])
    assert refused == "Lay as many jars on the left as on the right."
    assert "Expecting property name" in garbled


@proves("verifiers-v0", "deterministic")
def test_rollouts_are_the_same_alone_and_side_by_side(bundled: Any) -> None:
    """Shelves are told off for by the global random, by turns of many lengths."""

    def say(messages: list[dict[str, str]], seed: int) -> Any:
        asked = messages[1]["content"]
        if asked.startswith("Where"):
            return _halve(messages) if seed % 3 else "0"
        return _weighed(messages) if asked.startswith("Which") else _scaled(asked)

    group = {"job": "any", "size": 2}
    assert bundled("verifiers-v0").is_repeatable(Chat(say), args=group)


MOODY = '''
"""Environments that fail, and that verify mathematics."""

import random

import verifiers as vf
from datasets import Dataset
from math_verify import parse, verify


class Moody(vf.MultiTurnEnv):
    async def setup_state(self, state):
        if state["answer"] == "dark":
            raise RuntimeError("the lights are out")
        state["problem"] = random.random()
        return state

    async def env_response(self, messages, state, **_):
        if state["answer"] == "fallen":
            raise vf.InfraError("the shelf fell")
        state["told"] = random.random()
        state["final_env_response"] = [{"role": "user", "content": "bye"}]
        return state["final_env_response"]


def good(completion):
    return 1.0


def problem(state):
    return state["problem"]


def told(state):
    return state["told"]


def fails(completion):
    raise KeyError("no such jar")


def nothing(completion):
    return None


def agrees(completion, answer):
    return float(verify(parse(answer), parse(completion[-1].content)))


def single(rubric, answer="$\\\\frac{1}{2}$"):
    rows = Dataset.from_list([{"question": "Half?", "answer": answer}])
    return vf.SingleTurnEnv(dataset=rows, rubric=rubric)


def load_environment(judged=False):
    if judged:
        return single(vf.JudgeRubric(judge_client=object()))
    rows = [{"question": f"{one}?", "answer": one} for one in ("fine", "dark", "fallen")]
    seen = vf.Rubric(funcs=[good, problem, told], weights=[1.0, 0.0, 0.0])
    moody = Moody(dataset=Dataset.from_list(rows), rubric=seen)
    rubrics = [vf.Rubric(funcs=[one]) for one in (fails, nothing, agrees)]
    return vf.EnvGroup([moody, *map(single, [*rubrics, vf.MathRubric()])])
'''
FINE, DARK, FALLEN, FAILS, NOTHING, AGREES, MATHS = range(7)


@pytest.fixture(scope="module")
def moody_bundle(bundled: Any, tmp_path_factory: pytest.TempPathFactory) -> Bundled:
    folder = tmp_path_factory.mktemp("moody")
    (folder / "moody.py").write_text(MOODY)
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "moody"\nversion = "1"\ndependencies = ["verifiers==0.3.1"]\n'
    )
    found: Bundled = bundled(folder)
    return found


@pytest.fixture(scope="module")
def moody(moody_bundle: Bundled) -> Iterator[Shared]:
    with shared(moody_bundle) as session:
        yield session


def test_errors_of_environment_and_model_are_told_apart(moody: Shared) -> None:
    lost: list[int] = []

    def say(messages: list[dict[str, str]], seed: int) -> str:
        if messages[0]["content"] == "fine?" and not lost:
            lost.append(seed)
            raise ModelUnavailable("The server is away.")
        return "hello"

    requests = [
        *(Request(FINE, n, n) for n in range(6)),
        Request(DARK, 0, 0),
        Request(FALLEN, 0, 0),
    ]
    *fine, dark, fallen = moody.run(say, requests)
    kinds = [(one.error_kind, one.reward) for one in fine]
    assert sorted(kinds, key=str) == [("model", None), *[(None, 1.0)] * 5]
    assert (dark.error_kind, fallen.error_kind) == ("environment", "environment")
    there = [one.metrics for one in fine if one.reward is not None]
    assert len({one["problem"] for one in there}) == 1, "one task, one problem"
    assert len({one["told"] for one in there}) == 5, "each rollout has a seed of its own"
    assert "RuntimeError: the lights are out\n" in dark.error_text
    assert "moody.py, line" in dark.error_text
    assert "InfraError: the shelf fell\n" in fallen.error_text


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (FAILS, "KeyError: 'no such jar'\n"),
        (NOTHING, "What nothing() returned is None; it must be a finite number."),
    ],
)
def test_a_reward_function_that_fails_is_no_zero(moody: Shared, task: int, words: str) -> None:
    (result,) = moody.run(lambda *_: "x", [Request(task, 0, 0)])
    assert (result.reward, result.error_kind) == (None, "environment")
    assert words in result.error_text


@pytest.mark.parametrize("task", [AGREES, MATHS])
def test_mathematics_is_verified(moody: Shared, task: int) -> None:
    """math-verify bounds its work with alarms, and MathRubric with a process of its own."""
    for answer, reward in (("\\boxed{0.5}", 1.0), ("\\boxed{0.4}", 0.0)):
        (result,) = moody.run(lambda *_, said=answer: said, [Request(task, 0, 0)])
        assert (result.reward, result.error_text) == (reward, "")


def test_what_needs_another_model_is_refused_in_words(moody_bundle: Bundled) -> None:
    with (
        pytest.raises(EnvironmentFault, match="JudgeRubric asks a second model"),
        moody_bundle.session(args={"judged": True}),
    ):
        pass
