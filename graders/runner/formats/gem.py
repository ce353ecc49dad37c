"""GEM's environments: `gem.make(env_id, ...)`, or any entry that makes a `gem.Env`.

The model is told the observation and, under it, `info["suffix"]`. GEM's `ObservationWrapper` puts
the whole episode into every observation; then each one is all that the model is told.

GEM's environments of questions score what is in the last \\boxed{} and leave it to the policy's
prompt to say so. So unless the environment has a `system_prompt`, theirs says it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from .. import imports
from ..attempts import Message
from ..faults import LoadError
from .base import messages, opening
from .gymnasium import begun, stepped
from .steps import Step, Steps

BOXED = "Think as long as you need. Then put your final answer, and nothing else, within \\boxed{}."
_QUESTIONS = ("ReasoningGymEnv", "MathEnv", "MathVisualEnv")


class Gem(Steps):
    """Gymnasium's tuples, with GEM's way of wording an observation."""

    name = "gem"
    needs = "an environment of the gem library (gem_llm on the index)"
    package = "gem-llm"
    entry = "gem:make"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        if imports.is_made_by(self.source.first, "gem", "MultiAgentEnv"):
            raise LoadError(
                "This is a MultiAgentEnv; of GEM, this hub drives those with one agent."
            )

    @classmethod
    def recognise(cls, made: object) -> bool:
        return imports.is_made_by(made, "gem", "Env")

    def begin(self, env: Any, task: int) -> list[Message]:
        return [*_opening(env), *_told(env, *begun(env.reset(seed=task)))]

    def step(self, env: Any, reply: str) -> Step:
        step = stepped(env.step(reply), lambda observation, info: _told(env, observation, info))
        if step.is_last or not _is_whole(env):
            return step
        return replace(step, messages=[*_opening(env), *step.messages], is_whole=True)


def _opening(env: Any) -> list[Message]:
    asks = any(imports.is_made_by(one, "gem", name) for one in _layers(env) for name in _QUESTIONS)
    if asks and getattr(env, "system_prompt", None) is None:
        return [{"role": "system", "content": BOXED}]
    return opening(env)


def _told(env: Any, observation: Any, info: Any) -> list[Message]:
    suffix = info.get("suffix") if isinstance(info, Mapping) else None
    if not suffix or not isinstance(observation, str) or _is_whole(env):
        return messages(observation)
    return messages(f"{observation.rstrip()}\n{suffix}")


def _is_whole(env: Any) -> bool:
    """Whether each observation has the episode so far in it."""
    return any(imports.is_made_by(one, "gem", "ObservationWrapper") for one in _layers(env))


def _layers(env: Any) -> Iterator[Any]:
    """An environment and, one after the other, what its wrappers wrap."""
    while env is not None:
        yield env
        env = getattr(env, "env", None)
