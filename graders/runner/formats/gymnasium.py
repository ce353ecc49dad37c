"""Gymnasium's API: `reset(seed)`, then `step(action)` until it ends.

An environment without spaces, or whose actions are of the space Text, is stepped with the model's
reply. Its observations are text, a list of messages, or anything else as its `str`. Of other spaces
worded.py makes text. Numbers in the last step's `info["metrics"]` become the rollout's metrics. A
`system_prompt` (text) opens the conversation if the environment has one.
"""

from collections.abc import Callable, Mapping
from typing import Any

from ..attempts import Message
from ..faults import BadEnvironment, shown
from .base import messages, metrics, number, opening
from .steps import Step, Steps
from .worded import Worded, drawn_as_text, has_spaces


class Gymnasium(Steps):
    """What `reset` and `step` give, in Gymnasium's tuples."""

    name = "gymnasium"
    needs = "reset(seed) and step(text)"
    package = "gymnasium"
    entry = "gymnasium:make"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._has_spaces = has_spaces(self.source.first)
        if self._has_spaces:
            Worded(self.make())

    @classmethod
    def recognise(cls, made: object) -> bool:
        methods = (getattr(made, name, None) for name in ("reset", "step"))
        return not isinstance(made, type) and all(callable(method) for method in methods)

    def make(self) -> Any:
        made = super().make()
        return drawn_as_text(made) if self._has_spaces else made

    def facing(self, env: Any) -> Any:
        return Worded(env) if self._has_spaces else env

    def begin(self, env: Any, task: int) -> list[Message]:
        observation, _ = begun(env.reset(seed=task))
        return [*opening(env), *messages(observation)]

    def step(self, env: Any, reply: str) -> Step:
        return stepped(env.step(reply), lambda observation, _: messages(observation))


def begun(made: Any) -> tuple[Any, Any]:
    """What `reset()` returned, as (observation, info)."""
    if not isinstance(made, tuple) or len(made) != 2:
        raise BadEnvironment(f"reset() returned {shown(made)}; it must return (observation, info).")
    return made


def stepped(made: Any, told: Callable[[Any, Any], list[Message]]) -> Step:
    """What `step()` returned. `told(observation, info)` is what the model sees of it."""
    if not isinstance(made, tuple) or len(made) != 5:
        raise BadEnvironment(
            f"step() returned {shown(made)}; it must return "
            "(observation, reward, terminated, truncated, info)."
        )
    observation, reward, terminated, truncated, info = made
    is_last = bool(terminated) or bool(truncated)
    return Step(
        messages=[] if is_last else told(observation, info),
        reward=number(reward, "The reward of step()"),
        is_last=is_last,
        metrics=metrics(info.get("metrics")) if isinstance(info, Mapping) else {},
    )
