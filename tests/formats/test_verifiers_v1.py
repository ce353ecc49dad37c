"""verifiers v1: real environments of release 0.4.0 in the sandbox."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from graders.errors import EnvironmentFault, ModelUnavailable
from graders.session import Request
from tests.formats.bundled import Bundled
from tests.formats.sharing import Shared, shared
from tests.runner.bench import Chat, completion

pytestmark = pytest.mark.index
proves = pytest.mark.proves

EACH = 12  # tasks of each job
COUNT, GUESS, CRATES = 0, EACH, 2 * EACH


@pytest.fixture(scope="module")
def orchard(bundled: Any) -> Iterator[Shared]:
    with shared(bundled("verifiers-v1"), args={"job": "any", "size": EACH}) as session:
        yield session


@proves("verifiers-v1", "recognised")
def test_it_is_recognised_by_its_taskset(bundled: Any, orchard: Shared) -> None:
    told = bundled("verifiers-v1").manifest
    assert (told.entry, told.format) == ("orchard:OrchardTaskset", "verifiers-v1")
    assert (orchard.hello.format, orchard.hello.tasks) == ("verifiers-v1", 3 * EACH)
    first, last = orchard.peek([COUNT, CRATES])
    assert [one["role"] for one in first.messages] == ["system", "user"]
    assert first.messages[1]["content"].endswith("How many are good?")
    assert last.messages[1]["content"].startswith("Which of the crates")


def _counted(question: str) -> str:
    trees, each, rotten = map(int, re.findall(r"\d+", question))
    return str(trees * each - rotten)


@proves("verifiers-v1", "single turn")
def test_an_answer_earns_the_tasks_rewards(orchard: Shared) -> None:
    def say(messages: list[dict[str, str]], _: int) -> str:
        return _counted(messages[1]["content"])

    right = orchard.run(say, [Request(COUNT + n, 0, n) for n in range(6)])
    assert [(one.reward, one.turns, one.error_text) for one in right] == [(1.0, 1, "")] * 6
    assert right[0].metrics == {"right": 1.0, "opened": 0.0}
    for text in ("7", ""):
        (wrong,) = orchard.run(lambda *_, said=text: said, [Request(COUNT, 0, 0)])
        assert (wrong.reward, wrong.turns, wrong.error_text) == (0.0, 1, "")


def _halve(messages: list[dict[str, str]]) -> str:
    low, high = 1, 30
    for said, told in zip(messages[2::2], messages[3::2], strict=True):
        tried = int(said["content"])
        is_more = told["content"].endswith("more.")
        low, high = (tried + 1, high) if is_more else (low, tried - 1)
    return str((low + high) // 2)


@proves("verifiers-v1", "multi-turn")
def test_an_env_takes_turns_with_its_agent(orchard: Shared) -> None:
    say = lambda messages, _: _halve(messages)  # noqa: E731
    found = orchard.run(say, [Request(GUESS + n, 0, n) for n in range(4)])
    assert [(one.reward, one.error_text) for one in found] == [(1.0, "")] * 4
    assert max(one.turns for one in found) > 1
    for one in found:
        roles = [message["role"] for message in one.messages]
        assert roles == ["system", *("user", "assistant") * one.turns]


def test_max_turns_ends_an_episode_which_is_then_scored(orchard: Shared) -> None:
    (result,) = orchard.run(lambda *_: "99", [Request(GUESS, 0, 0)])
    assert (result.reward, result.turns, result.error_text) == (0.0, 8, "")


def _opened(messages: list[dict[str, str]]) -> Any:
    """The fullest crate, all four having been opened."""
    told = [one["content"] for one in messages if one["role"] == "tool"]
    if len(told) == 4:
        return max(told, key=lambda text: int(text.split()[3])).split()[1]
    call = (f"c{len(told)}", "crates_open_crate", f'{{"letter": "{"ABCD"[len(told)]}"}}')
    return completion("", "tool_calls", tool_calls=[call])


@proves("verifiers-v1", "tools")
def test_tools_reach_the_model_and_write_the_state(orchard: Shared) -> None:
    say = lambda messages, _: _opened(messages)  # noqa: E731
    results = orchard.run(say, [Request(CRATES + n, 0, 0) for n in range(6)])
    assert [(one.reward, one.turns, one.error_text) for one in results] == [(1.0, 5, "")] * 6
    assert {one.metrics["opened"] for one in results} == {4.0}
    (tool,) = orchard.asked[0]["tools"]
    assert tool["function"]["name"] == "crates_open_crate"
    assert tool["function"]["description"].startswith("Open a crate")
    assert set(tool["function"]["parameters"]["properties"]) == {"letter"}
    roles = ["system", "user", *("assistant", "tool") * 4, "assistant"]
    assert [one["role"] for one in results[0].messages] == roles


def test_a_call_that_fails_is_told_to_the_model(orchard: Shared) -> None:
    calls = [
        ("a", "crates_open_crate", '{"letter": "Z"}'),
        ("b", "crates_open_crate", "{"),
        ("c", "crates_open_crate", "[]"),
        ("d", "crates_burn", "{}"),
    ]

    def say(messages: list[dict[str, str]], _: int) -> Any:
        if messages[-1]["role"] == "tool":
            return "none"
        return completion("", "tool_calls", tool_calls=calls)

    (result,) = orchard.run(say, [Request(CRATES, 0, 0)])
    assert (result.reward, result.error_text) == (0.0, "")
    refused, garbled, listed, unknown = (one["content"] for one in result.messages[3:7])
    assert refused == "Error executing tool open_crate: There is no crate Z."
    assert garbled.startswith("error: the arguments are no JSON")
    assert listed == "error: the arguments are no JSON object"
    assert unknown == "error: unknown tool 'crates_burn'"


@proves("verifiers-v1", "deterministic")
def test_rollouts_are_the_same_alone_and_side_by_side(bundled: Any) -> None:
    """Guesses are sighed at by the global random, over turns of many lengths."""

    def say(messages: list[dict[str, str]], seed: int) -> Any:
        asked = messages[1]["content"]
        if asked.startswith("How many"):
            return _halve(messages) if seed % 3 else "99"
        return _opened(messages) if asked.startswith("Which") else _counted(asked)

    assert bundled("verifiers-v1").is_repeatable(Chat(say), args={"job": "any", "size": 2})


DEBATE = '''
"""Two agents that speak in turn, and what may go wrong with them."""

import openai
import verifiers.v1 as vf

KINDS = ["fine", "reward", "run", "setup", "tool", "fine"]


class Data(vf.TaskData):
    kind: str


class Shelf(vf.Toolset[vf.ToolsetConfig]):
    async def setup(self):
        self.books = ["red", "blue"]

    @vf.tool
    def read(self, number: int) -> str:
        """Read a book."""
        return self.books[number]


class DebateTask(vf.Task[Data]):
    async def setup(self, trace, runtime):
        if self.data.kind == "setup":
            raise RuntimeError("the hall is locked")

    @vf.reward
    async def loud(self, trace):
        if self.data.kind == "reward":
            raise KeyError("no such ear")
        return float(reply(trace).isupper())


def reply(trace):
    return [node.message.content for node in trace.nodes if node.sampled][-1]


class DebateConfig(vf.TasksetConfig):
    endless: bool = False
    judge: bool = False


class DebateTaskset(vf.Taskset[DebateTask, DebateConfig]):
    @classmethod
    def toolsets(cls, config):
        return [Shelf(vf.ToolsetConfig())]

    @property
    def bounded(self):
        return not self.config.endless

    def load(self):
        kinds = iter(lambda: "fine", None) if self.config.endless else KINDS
        for number, kind in enumerate(kinds):
            yield DebateTask(Data(prompt=f"Motion {number}?", kind=kind), self.config.task)


class DebateEnvConfig(vf.EnvConfig):
    pro: vf.AgentConfig = vf.AgentConfig(harness={"id": "null"})
    con: vf.AgentConfig = vf.AgentConfig(harness={"id": "null"})
    rounds: int = 1


class Debate(vf.Env[DebateEnvConfig]):
    async def setup(self, agents):
        agents.con.trainable = False

    async def run(self, task, agents):
        if task.data.kind == "run":
            raise ValueError("no motion")
        for _ in range(self.config.rounds):
            trace = await agents.pro.run(task)
            against = vf.Task(vf.TaskData(prompt=f"Against: {reply(trace)}"))
            await agents.con.run(against)


class Shouter(vf.Harness[vf.HarnessConfig]):
    """A loop of the package's own, in its process, through OpenAI's client."""

    NEEDS_CONTAINER = False
    SUPPORTS_MCP = True

    async def launch(self, ctx, trace, runtime, endpoint, secret, mcp_urls, data):
        client = openai.AsyncOpenAI(base_url=endpoint, api_key=secret, max_retries=0)
        messages = [{"role": "user", "content": f"SHOUT: {data.prompt}"}]
        for stream in (False, True):
            asked = client.chat.completions.create(
                model=ctx.model, messages=messages, stream=stream
            )
            if stream:
                async for chunk in await asked:
                    pass
            else:
                said = (await asked).choices[0].message.content
                messages.append({"role": "assistant", "content": said})
                messages.append({"role": "user", "content": "Louder."})
        return vf.ProgramResult(exit_code=0, stdout="", stderr="")


__all__ = ["Debate", "DebateTaskset", "Shouter"]
'''
FINE, REWARD, RUN, SETUP = range(4)


@pytest.fixture(scope="module")
def debate_bundle(bundled: Any, tmp_path_factory: pytest.TempPathFactory) -> Bundled:
    folder: Path = tmp_path_factory.mktemp("debate")
    (folder / "debate.py").write_text(DEBATE)
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "debate"\nversion = "1"\ndependencies = ["verifiers==0.4.0"]\n'
    )
    found: Bundled = bundled(folder)
    return found


@pytest.fixture(scope="module")
def debate(debate_bundle: Bundled) -> Iterator[Shared]:
    with shared(debate_bundle, args={"env": {"rounds": 2}}) as session:
        yield session


@proves("verifiers-v1", "several agents")
def test_each_agent_keeps_what_it_earned(debate: Shared) -> None:
    def say(messages: list[dict[str, str]], _: int) -> str:
        return "yes" if messages[-1]["content"].startswith("Against") else "NO"

    (result,) = debate.run(say, [Request(FINE, 0, 0)])
    assert (result.reward, result.turns, result.error_text) == (1.0, 4, "")
    assert result.per_agent == {"pro": 1.0, "con": 0.0}
    assert result.metrics["pro.loud"] == 1.0
    said = [one["content"] for one in result.messages if one["role"] == "assistant"]
    assert said == ["NO", "yes"] * 2


def test_tools_of_a_taskset_are_for_its_tasks_alone(debate: Shared) -> None:
    def say(messages: list[dict[str, str]], _: int) -> Any:
        if messages[-1]["content"].startswith("Motion"):
            return completion("", "tool_calls", tool_calls=[("a", "shelf_read", '{"number": 1}')])
        return messages[-1]["content"].upper()

    (result,) = debate.run(say, [Request(FINE, 0, 0)])
    assert (result.reward, result.error_text) == (1.0, "")
    assert [bool(one.get("tools")) for one in debate.asked[:3]] == [True, True, False]
    assert [one["content"] for one in result.messages if one["role"] == "tool"] == ["blue"] * 2


def test_errors_of_environment_and_model_are_told_apart(debate: Shared) -> None:
    lost: list[int] = []

    def say(messages: list[dict[str, str]], seed: int) -> str:
        if messages[0]["content"] == "Motion 5?" and not lost:
            lost.append(seed)
            raise ModelUnavailable("The server is away.")
        return "NO"

    failing = [Request(task, 0, 0) for task in (REWARD, RUN, SETUP)]
    *fine, reward, run, setup = debate.run(say, [*(Request(5, n, n) for n in range(5)), *failing])
    kinds = [(one.error_kind, one.reward) for one in fine]
    assert sorted(kinds, key=str) == [("model", None), *[(None, 1.0)] * 4]
    assert {one.error_kind for one in (reward, run, setup)} == {"environment"}
    assert "KeyError: 'no such ear'" in reward.error_text
    assert re.fullmatch(r"TaskError: .*\n  File .*debate.py.*, in loud", reward.error_text)
    assert "ValueError: no motion" in run.error_text
    assert "RuntimeError: the hall is locked" in setup.error_text


def test_an_endless_taskset_is_drawn_from(debate_bundle: Bundled) -> None:
    args = {"endless": True}
    with shared(debate_bundle, args=args) as session:
        assert session.hello.tasks is None
        (ninth,) = session.peek([9])
        (result,) = session.run(lambda *_: "NO", [Request(9, 0, 0)])
    assert ninth.messages == [{"role": "user", "content": "Motion 9?"}]
    assert result.messages[0]["content"] == "Motion 9?"


def test_a_harness_of_the_packages_own_is_run(debate_bundle: Bundled) -> None:
    args = {"env": {"pro": {"harness": {"id": "debate"}}}}
    with shared(debate_bundle, args=args) as session:
        (result,) = session.run(lambda *_: "NO", [Request(FINE, 0, 0)])
    assert (result.reward, result.turns, result.error_text) == (1.0, 3, "")
    said = [one["content"] for one in result.messages if one["role"] == "user"]
    assert said == ["SHOUT: Motion 0?", "Louder.", "Against: NO"]


def test_a_harness_that_needs_a_container_is_refused_in_words(debate_bundle: Bundled) -> None:
    args = {"env": {"pro": {"harness": {"id": "codex"}}}}
    with (
        pytest.raises(EnvironmentFault, match="The harness codex needs a container"),
        debate_bundle.session(args=args),
    ):
        pass
