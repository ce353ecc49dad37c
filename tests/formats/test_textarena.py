"""TextArena's games, from the library on the package index, in the sandbox."""

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

Messages = list[dict[str, Any]]


@pytest.fixture
def kuhn(bundled: Callable[[str | Path], Bundled]) -> Bundled:
    return bundled("textarena")


def legal(messages: Messages, seed: int) -> str:
    """One of the actions that Kuhn poker allows, by the seed."""
    found = re.findall(r"'(\[\w+\])'", messages[-1]["content"].rpartition("actions are")[2])
    return str(found[seed % len(found)])


@proves("textarena", "recognised")
@proves("textarena", "multi-turn")
def test_a_game_against_an_opponent_of_the_upload(kuhn: Bundled) -> None:
    results: list[Any] = []
    with kuhn.session(Chat(legal)) as session:
        assert (session.hello.format, session.hello.tasks) == ("textarena", None)
        previews = session.peek([0, 1])
        session.run([Request(task, n, n) for task in (0, 1) for n in range(6)], results.append)
    for task, preview in enumerate(previews):
        assert [one["role"] for one in preview.messages] == ["system", "user"]
        assert f"[GAME] You are Player {task} in a 5 round game" in preview.messages[1]["content"]
    assert [one.error_text for one in results] == [""] * 12
    assert {one.reward for one in results} <= {-1.0, 0.0, 1.0}
    assert len({one.reward for one in results}) > 1
    for one in results:
        assert (
            one.reward
            == one.per_agent[f"player {one.task}"]
            == -one.per_agent[f"player {1 - one.task}"]
        )
        assert one.turns > 1
        assert {message["agent"] for message in one.messages} == {f"player {one.task}"}
        assert (one.metrics["finished"], one.metrics["invalid_move"]) == (1.0, 0.0)


@proves("textarena", "several agents")
def test_the_model_in_all_seats(kuhn: Bundled) -> None:
    """In tic-tac-toe the first seat wins if both take the first free cell."""

    def first_free(messages: Messages, seed: int) -> str:
        return str(re.findall(r"'(\[\d\])'", messages[-1]["content"].rpartition("Moves")[2])[0])

    args = {"env_id": "TicTacToe-v0"}
    first, second = kuhn.run(Chat(first_free), [Request(n, 0, 1) for n in (0, 1)], args=args)
    assert (first.reward, second.reward) == (1.0, -1.0)
    assert first.per_agent == second.per_agent == {"player 0": 1.0, "player 1": -1.0}
    assert first.turns == 7
    said = [one["agent"] for one in first.messages if one["role"] == "assistant"]
    assert said == ["player 0", "player 1"] * 3 + ["player 0"]


def test_errors_are_told_apart_and_a_bad_move_is_none(kuhn: Bundled) -> None:
    """The opponent in seat 1 knows another game: it looks for a card and fails."""
    replies = iter(["[4]", "", "no idea", "no idea"])

    def say(messages: Messages, seed: int) -> str:
        reply = next(replies)
        if not reply:
            raise ModelUnavailable("It is down.")
        return reply

    args = {"env_id": "TicTacToe-v0", "opponents": {"1": "kuhn_poker:house"}}
    requests = [Request(task, 0, 1) for task in range(3)]
    opponent, model, bad = kuhn.run(Chat(say), requests, args=args, concurrency=1)
    assert (opponent.error_kind, opponent.reward) == ("environment", None)
    assert "IndexError: list index out of range\n" in opponent.error_text
    assert "kuhn_poker/__init__.py, line" in opponent.error_text
    assert (model.error_kind, model.reward) == ("model", None)
    assert (bad.error_kind, bad.reward, bad.turns) == (None, -1.0, 2)
    assert (bad.metrics["invalid_move"], bad.per_agent) == (
        1.0,
        {"player 0": -1.0, "player 1": 1.0},
    )
    assert "Please resubmit a valid move" in bad.messages[-2]["content"]


@proves("textarena", "single turn")
def test_a_game_of_one_turn_for_one(kuhn: Bundled) -> None:
    def follow(messages: Messages, seed: int) -> str:
        said = messages[-1]["content"]
        cup = re.findall(r"\[(\w)\]", said.partition("Ball starts")[2]).index("X")
        for swap in re.findall(r"swapped cups (\d) and (\d)", said):
            one, other = map(int, swap)
            cup = {one: other, other: one}.get(cup, cup)
        return f"[{cup}]"

    requests = [Request(task, 0, 1) for task in range(4)]
    results = kuhn.run(Chat(follow), requests, args={"env_id": "ThreeCardMonte-v0"})
    assert [(one.reward, one.turns, one.per_agent) for one in results] == [(1.0, 1, {})] * 4


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"num_players": 3}, "The game does not start: with 3: AssertionError"),
        ({"opponents": {"0": "kuhn_poker:house", "1": "kuhn_poker:house"}}, "leave no seat"),
        ({"opponents": "house"}, "The opponent is 'house'; it must be as in"),
        ({"env_id": "GuessWho-v0"}, "OpenRouter API key not found"),
    ],
)
def test_games_that_cannot_be_played(kuhn: Bundled, args: dict[str, Any], words: str) -> None:
    with (
        pytest.raises(EnvironmentFault) as caught,
        kuhn.session(args={**kuhn.manifest.args, **args}),
    ):
        pass
    assert words in str(caught.value)


@proves("textarena", "deterministic")
def test_the_same_games_alone_and_among_others(kuhn: Bundled) -> None:
    assert kuhn.is_repeatable(Chat(legal))
