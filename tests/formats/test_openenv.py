"""OpenEnv environments with the real library, in a real sandbox.

The example is built on openenv 0.10.0, the apps on openenv-core 0.3.0, the last release under that
name. Starting a session takes seconds, so what one app can show is asked of it in one session.
"""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from graders.errors import EnvironmentFault, ModelUnavailable
from graders.session import Request, RolloutResult, Session
from tests.formats.bundled import Bundled
from tests.runner.bench import Chat, completion

pytestmark = [pytest.mark.index, pytest.mark.timeout(600)]
proves = pytest.mark.proves

Bundling = Callable[[str | Path], Bundled]
Messages = list[dict[str, Any]]


@pytest.fixture(scope="module")
def apps(bundled: Bundling) -> Bundled:
    return bundled(Path(__file__).parent / "openenv_apps")


def run(session: Session, requests: Sequence[Request]) -> list[RolloutResult]:
    """The results in the order of the requests."""
    results: dict[tuple[int, int], RolloutResult] = {}
    session.run(requests, lambda one: results.update({(one.task, one.number): one}))
    return [results[one.task, one.number] for one in requests]


def _first(messages: Messages, _: int) -> str:
    """The right answer of the example, on the second try where the first name's length is even."""
    names = messages[0]["content"].split(" queue")[0].split(", ")
    is_late = len(names[0]) % 2 == 0 and len(messages) == 1
    return max(names) if is_late else f"It is {min(names)}."


@proves("openenv", "recognised")
@proves("openenv", "multi-turn")
def test_text_goes_into_the_one_field(bundled: Bundling) -> None:
    queue = bundled("openenv")
    assert (queue.manifest.format, queue.manifest.entry) == ("openenv", "server.app:app")
    with queue.session(Chat(_first)) as session:
        assert (session.hello.format, session.hello.tasks) == ("openenv", None)
        shown = [one.messages for one in session.peek([0, 1, 0])]
        results = run(session, [Request(task, n, n) for task in range(8) for n in range(2)])
    assert shown[0] == shown[2] != shown[1]
    assert "queue in alphabetical order" in shown[0][0]["content"]
    assert {(one.turns, one.reward) for one in results} == {(1, 1.0), (2, 0.5)}
    assert all(
        one.messages == other.messages
        for one, other in zip(results[::2], results[1::2], strict=True)
    )


def _walk(messages: Messages, seed: int) -> str:
    action = {"direction": "left" if seed % 2 else "right", "steps": 1 + len(messages) % 5}
    return f"I think {{so}}. {json.dumps(action)}"


@proves("openenv", "single turn")
def test_the_smallest_upload_of_its_page(bundled: Bundling, tmp_path: Path) -> None:
    page = (settings.BASE_DIR / "docs" / "formats" / "openenv.md").read_text()
    for path, text in re.findall(r"^`([\w./]+)`.*?\n\n```\w+\n(.*?)^```$", page, re.M | re.S):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    results = bundled(tmp_path).run(Chat(lambda *_: "Heads!"), [Request(n, 0, n) for n in range(8)])
    assert {(one.turns, one.reward) for one in results} == {(1, 0.0), (1, 1.0)}


@proves("openenv", "deterministic")
def test_rollouts_are_the_same_alone_and_together(apps: Bundled) -> None:
    assert apps.is_repeatable(Chat(_walk))


def _strange(messages: Messages, _: int) -> str:
    """An action each for the tasks by how the wind blows at first; see the test."""
    said = ["left", '{"direction": "up"}', '{"direction": "left", "steps": 2}', "{}", "{" * 500]
    return said[len(messages) // 2 - 1]


def test_an_action_is_json_that_fits_the_schema(apps: Bundled) -> None:
    def say(messages: Messages, seed: int) -> str:
        if messages[1] == strange:
            return _strange(messages, seed)
        unlucky = '{"direction": "left", "steps": 7}'
        return unlucky if messages[1] == last else _walk(messages, seed)

    with apps.session(Chat(say), max_turns=5) as session:
        strange, last = (one.messages[1] for one in session.peek([0, 1]))
        found, unlucky, *results = run(
            session,
            [Request(task, 0, 1) for task in range(2)]
            + [Request(task, n, n) for task in (2, 3) for n in range(3)],
        )
    system, opening, *rest = [message["content"] for message in found.messages]
    schema = json.loads(system[system.index("{") :])
    assert schema["properties"]["direction"]["enum"] == ["left", "right"]
    assert "metadata" not in schema["properties"]
    assert json.loads(opening).keys() == {"at", "wind", "visit"}
    assert (found.error_kind, found.turns) == (None, 5)
    told = rest[1::2]
    assert "no JSON object" in told[0]
    assert "direction: Input should be 'left' or 'right'" in told[1]
    assert json.loads(told[2])["at"] < json.loads(opening)["at"]
    assert "direction: Field required" in told[3]
    # The server cannot tell what that validator said, and ends the session.
    assert (unlucky.error_kind, unlucky.reward, unlucky.turns) == (None, 0.0, 1)
    first = [json.loads(one.messages[1]["content"]) for one in results]
    assert first[0] == first[1] == first[2] != first[3]
    assert {one["visit"] for one in first} == {1}, "module variables are shared"
    assert len({one.reward for one in results}) == 3, "the rollout's seed makes no difference"


def _calls(*calls: tuple[str, str]) -> dict[str, Any]:
    return completion("", tool_calls=[(f"c{n}", *one) for n, one in enumerate(calls)])


def _guess(messages: Messages, _: int) -> Any:
    told = [one["content"] for one in messages if one["role"] == "tool"]
    if not told:
        return _calls(("letter", '{"place": 0}'), ("letter", "[]"), ("letter", '{"place": 99}'))
    words = {"a": "apple", "b": "bread"}
    if told[0] not in words:
        return "I give up."
    return _calls(("guess", json.dumps({"word": words[told[0]]})), ("letter", "{}"))


@proves("openenv", "tools")
def test_tools_of_an_mcp_environment(apps: Bundled) -> None:
    chat, args = Chat(_guess), {"words": ["apple", "bread", "cloud"]}
    with apps.session(chat, entry="server.tools:app", args=args) as session:
        results = run(session, [Request(task, 0, 1) for task in range(3)])
    assert {one.error_text for one in results} == {""}
    assert [(one.reward, one.turns) for one in results] == [(1.0, 2), (1.0, 2), (0.0, 2)]
    body = chat.asked[0][0]
    assert {tool["function"]["name"] for tool in body["tools"]} == {"letter", "guess"}
    assert body["messages"] == [{"role": "user", "content": "Find the hidden word by its letters."}]
    first, bad, out = [one for one in results[1].messages if one["role"] == "tool"]
    assert (first["tool_call_id"], first["content"]) == ("c0", "b")
    assert "not a JSON object" in bad["content"]
    assert out["content"].startswith("Error: ")


FAULTS = {
    "raise": "step raised: as it was told",
    "wrong": "text: Input should be a valid string",
    "exit": "ended the session in step",
    "hang": "did not return within 3 s",
}


def test_faults_are_told_apart_and_end_no_other_rollout(apps: Bundled) -> None:
    def say(messages: Messages, _: int) -> str:
        word = words.get(messages[0]["content"], "fine")
        if word == "silent":
            raise ModelUnavailable("down")
        return word

    with apps.session(Chat(say), entry="server.faulty:app", call_s=3.0) as session:
        shown = [one.messages[0]["content"] for one in session.peek(range(5))]
        words = dict(zip(shown, [*FAULTS, "silent"], strict=True))
        results = run(session, [Request(task, 0, 0) for task in range(10)])
    for one, text in zip(results, FAULTS.values(), strict=False):
        assert (one.error_kind, one.reward) == ("environment", None), one
        assert text in one.error_text
    assert results[4].error_kind == "model"
    assert [(one.reward, one.error_kind) for one in results[5:]] == [(1.0, None)] * 5


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ("server.bare:app", "opens no WebSocket at /ws"),
        ("server.broken:app", "OSError: no disk here"),
        ("server.nowhere:app", "no module 'server.nowhere'"),
        ("server.bare:application", "cannot be found"),
    ],
)
def test_what_cannot_be_served_is_told_while_loading(apps: Bundled, entry: str, text: str) -> None:
    with pytest.raises(EnvironmentFault, match=text), apps.session(entry=entry):
        pass
