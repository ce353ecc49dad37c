"""TextArena's games: `textarena.make(env_id, ...)`, or any entry that makes a `textarena.Env`.

Task i is the game that `reset(num_players, seed=i)` starts. The model is asked as TextArena's own
language model agents are: its system prompt, then the observation of the seat that is to move,
which has the whole game in it. Where a game was made "-raw", observations are what has happened
since; they then become a conversation, one for each seat.

The model plays all seats, but one of them is the task's: seat i mod the number of players. What
that seat earned is the rollout's reward, since the mean over a zero-sum game would be 0 however
well it was played. A game that is cut off has no rewards, so it gives 0.

Arguments of the version that are the adapter's own:

- `num_players`: how many play; without it, the fewest that the game starts with
- `seat`: the task's seat, the same in every task
- `opponents`: "package.module:name" of what plays all seats but the task's, or a table of one for
  each seat that it names. Called with an observation, it returns an action; a class is
  instantiated for each game and seat first, so TextArena's own `Agent` classes fit.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from .. import imports
from ..attempts import Attempt, Message
from ..faults import BadEnvironment, LoadError, describe, shown
from .base import Outcome, metrics, number, total
from .objects import Objects

PLAYERS = range(1, 17)
GAME = -1  # who speaks, in an observation, if it is no player
OPPONENTS = (
    'it must be as in "package.module:name", or a table as in { "1" = "package.module:name" }.'
)

Policy = Callable[[Any], Any]


@dataclass
class Game:
    """A game under way. `fixed` has what plays the seats that are not the model's."""

    env: Any
    fixed: Mapping[int, Policy]
    prompt: str
    over: bool = False
    _said: dict[int, list[Message]] = field(default_factory=dict)

    def question(self) -> tuple[int, list[Message]] | None:
        """The seat of the model that is to move, and its conversation; None if the game is over.

        Fixed opponents move until then.
        """
        while not self.over:
            seat, observation = self.env.get_observation()
            if seat not in self.fixed:
                return seat, self._conversation(seat, observation)
            action = self.fixed[seat](observation)
            if not isinstance(action, str):
                raise BadEnvironment(f"The opponent in seat {seat} answered {shown(action)}.")
            self.move(action)
        return None

    def answer(self, seat: int, reply: str) -> None:
        """Let the model's reply be the seat's move."""
        self._said[seat].append({"role": "assistant", "content": reply})
        self.move(reply)

    def move(self, action: str) -> None:
        """Take the action of whoever is to move."""
        made = self.env.step(action=action)
        if not isinstance(made, tuple) or len(made) != 2:
            raise BadEnvironment(f"step() returned {shown(made)}; it must return (done, info).")
        self.over = bool(made[0])

    def end(self) -> tuple[Mapping[int, Any] | None, Mapping[int, Any]]:
        """What each seat earned, None if the game is not over, and what is told of each."""
        made = self.env.close()
        if not isinstance(made, tuple) or len(made) != 2:
            raise BadEnvironment(f"close() returned {shown(made)}; it must be (rewards, info).")
        return made

    def _conversation(self, seat: int, observation: Any) -> list[Message]:
        opened: list[Message] = [{"role": "system", "content": self.prompt}] if self.prompt else []
        if isinstance(observation, str):
            self._said[seat] = opened  # It has all that came before in it.
        said = self._said.setdefault(seat, opened)
        said.append({"role": "user", "content": self._text(observation)})
        return list(said)

    def _text(self, observation: Any) -> str:
        if not isinstance(observation, list):
            return str(observation).strip()
        names = {GAME: "GAME", **self.env.state.role_mapping}
        lines = (f"[{names.get(by, f'Player {by}')}] {text}" for by, text, *_ in observation)
        return "\n".join(lines)


class TextArena(Objects):
    """A game for each rollout, played in turns."""

    name = "textarena"
    needs = "a game of the textarena library"
    package = "textarena"
    entry = "textarena:make"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._players, count = self._start(self.source.args.get("num_players"))
        self._seats = range(count)
        self._mine, self._others = self._fixed(self.source.args.get("opponents"))
        agents = sys.modules.get("textarena.agents.basic_agents")
        self._prompt = str(getattr(agents, "STANDARD_GAME_PROMPT", ""))

    @classmethod
    def recognise(cls, made: object) -> bool:
        return imports.is_made_by(made, "textarena", "Env")

    @classmethod
    def maker(cls, entry: Callable[..., Any], args: Mapping[str, Any]) -> Callable[[], Any]:
        own = ("num_players", "seat", "opponents")
        return partial(entry, **{name: args[name] for name in args if name not in own})

    async def preview(self, attempt: Attempt) -> list[Message]:
        async with self.environment(attempt) as env:
            game = attempt.pose(self._begin, env, attempt.task)
            question = attempt.pose(game.question)
        return question[1] if question else []

    async def rollout(self, attempt: Attempt) -> Outcome:
        turns = 0
        async with self.environment(attempt) as env:
            game = attempt.pose(self._begin, env, attempt.task)
            while (question := attempt.play(game.question)) and turns < attempt.max_turns:
                seat, conversation = question
                reply = await attempt.ask(conversation, agent=self._called(seat))
                attempt.play(game.answer, seat, reply)
                turns += 1
            rewards, told = attempt.play(game.end)
        return self._outcome(self._task_seat(attempt.task), turns, rewards, told)

    def _start(self, wanted: Any) -> tuple[int, int]:
        """How many players `reset` is to be told, and how many seats there are then."""
        if wanted is not None and (isinstance(wanted, bool) or wanted not in PLAYERS):
            raise LoadError(f"num_players is {shown(wanted)}; it must be 1 to {PLAYERS[-1]}.")
        problems = []
        for players in PLAYERS if wanted is None else [wanted]:
            env = self.source.make()
            try:
                env.reset(num_players=players, seed=0)
            except Exception as error:
                problems.append(f"with {players}: {describe(error, ())}")
                continue
            is_alone = imports.is_made_by(env.state, "textarena", "SinglePlayerState")
            if players > 1 or is_alone or wanted is not None:
                return players, env.state.num_players
        raise LoadError(f"The game does not start: {'; '.join(problems[:2])}")

    def _fixed(self, given: Any) -> tuple[list[int], dict[int, Any]]:
        """Which seats may be a task's, and who plays the others if it is not the model."""
        mine, players = list(self._seats), {}
        if isinstance(given, str):
            players = dict.fromkeys(self._seats, _named(given))
        elif isinstance(given, Mapping):
            players = {_seat(text, self._seats): _named(name) for text, name in given.items()}
            mine = [seat for seat in self._seats if seat not in players]
        elif given is not None:
            raise LoadError(f"opponents is {shown(given)}; {OPPONENTS}")
        wanted = self.source.args.get("seat")
        if wanted is not None:
            mine = [seat for seat in mine if seat == _seat(wanted, self._seats)]
        if not mine:
            raise LoadError("The opponents leave no seat to the model. Take out one of them.")
        return mine, players

    def _task_seat(self, task: int) -> int:
        return self._mine[task % len(self._mine)]

    def _begin(self, env: Any, task: int) -> Game:
        env.reset(num_players=self._players, seed=task)
        fixed = {
            seat: made() if isinstance(made, type) else made
            for seat, made in self._others.items()
            if seat != self._task_seat(task)
        }
        return Game(env, fixed, self._prompt)

    def _called(self, seat: int) -> str:
        return f"player {seat}" if len(self._seats) > 1 else ""

    def _outcome(self, seat: int, turns: int, rewards: Any, told: Mapping[int, Any]) -> Outcome:
        counts = {**metrics(told.get(seat)), "finished": float(rewards is not None)}
        if rewards is None:
            return Outcome(total([0.0], self.reward_range), turns, counts)
        if not isinstance(rewards, Mapping) or seat not in rewards:
            raise BadEnvironment(
                f"The game ended with {shown(rewards)}: no reward for seat {seat}."
            )
        earned = {one: number(found, f"What seat {one} earned") for one, found in rewards.items()}
        reward = total([earned[seat]], self.reward_range)
        each = {self._called(one): earned[one] for one in self._seats if one in earned}
        return Outcome(reward, turns, counts, each if len(self._seats) > 1 else {})


def _seat(found: Any, seats: range) -> int:
    """A seat's number, as text where it is the key of a table. Raises LoadError."""
    if str(found) not in map(str, seats):
        raise LoadError(f"There is no seat {shown(found)}; they are 0 to {seats[-1]}.")
    return int(found)


def _named(name: Any) -> Any:
    """What an opponent's name stands for. Raises LoadError."""
    module, colon, attribute = name.partition(":") if isinstance(name, str) else ("", "", "")
    if not (module and colon and attribute):
        raise LoadError(f"The opponent is {shown(name)}; {OPPONENTS}")
    found = getattr(imports.module(module), attribute, None)
    if not callable(found):
        raise LoadError(f"The opponent {name} is {shown(found)}; it must take an observation.")
    return found
