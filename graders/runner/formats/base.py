"""What an environment format has to provide, and the checks that all formats share."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from numbers import Real
from typing import Any, ClassVar

from ..attempts import Attempt, Message
from ..faults import BadEnvironment, LoadError, shown
from ..frames import MAX_METRICS, MAX_NAME
from ..requests import message


@dataclass(frozen=True)
class Source:
    """The environment as it was loaded.

    `first` is what the entry made (or is); `make()` makes another, or gives the same object again.
    `module` is where the entry lies, `args` what the version gives it.
    """

    first: Any
    make: Callable[[], Any]
    module: str = ""
    args: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Outcome:
    """How a rollout ended: its reward (checked by `total`), replies used, and named numbers.

    `per_agent` has what each seat earned where there are several, as the environment counts it.
    """

    reward: float
    turns: int
    metrics: dict[str, float] = field(default_factory=dict)
    per_agent: dict[str, float] = field(default_factory=dict)


class Adapter(ABC):
    """Drives the environments of one format.

    `reward_range` is (low, high), inclusive. `log` takes a line for the worker.

    Attributes:
        name: the format.
        needs: what makes an object one of this format, for the error when it is none.
        package: the distribution on the package index that it drives, if any.
        entry: what is called, with the version's args, if the version names no entry of its own.
        defaults: args that this entry gets unless the version gives others.
        pins: requirements that are added to the version's own.
        imports: what it, or its library, imports by name, so that no import instruction tells it.
        is_served: whether its entry is imported by processes of its own, never by the runner. Then
            the source's `first` is the entry's text, and `format` has to name the format.
    """

    name: ClassVar[str]
    needs: ClassVar[str]
    package: ClassVar[str] = ""
    entry: ClassVar[str] = ""
    defaults: ClassVar[Mapping[str, Any]] = {}
    pins: ClassVar[tuple[str, ...]] = ()
    imports: ClassVar[tuple[str, ...]] = ()
    is_served: ClassVar[bool] = False

    def __init__(
        self, source: Source, reward_range: tuple[float, float], log: Callable[[str], None]
    ) -> None:
        self.source = source
        self.reward_range = reward_range
        self.log = log

    @classmethod
    def maker(cls, entry: Callable[..., Any], args: Mapping[str, Any]) -> Callable[[], Any]:
        """What makes an environment out of the entry. Args may also be for the adapter itself."""
        return partial(entry, **args)

    @classmethod
    @abstractmethod
    def recognise(cls, made: object) -> bool:
        """Whether an object is an environment of this format."""

    @abstractmethod
    def tasks(self) -> int | None:
        """How many tasks there are; None for an endless environment. Raises LoadError."""

    @abstractmethod
    async def preview(self, attempt: Attempt) -> list[Message]:
        """The conversation that opens a task, as the model would get it."""

    @abstractmethod
    async def rollout(self, attempt: Attempt) -> Outcome:
        """One attempt at a task. What contributed code raises passes through.

        It awaits the model, and nothing else that blocks keeps the other rollouts waiting: see
        `Attempt`.
        """


def number(value: Any, what: str) -> float:
    """A finite number as float; numpy's scalars too, and a bool as 0.0 or 1.0.

    Raises BadEnvironment, naming the value, for anything else: text and None are no numbers.
    """
    try:
        plain = value if isinstance(value, Real) else value.item()
        result = float(plain) if isinstance(plain, Real) else math.nan
    except (ArithmeticError, AttributeError, TypeError, ValueError):
        result = math.nan
    if not math.isfinite(result):
        raise BadEnvironment(f"{what} is {shown(value)}; it must be a finite number.")
    return result


def total(rewards: list[float], reward_range: tuple[float, float]) -> float:
    """The sum of a rollout's rewards. Raises BadEnvironment if it is out of range.

    A sum that misses a bound by rounding alone is that bound.
    """
    low, high = reward_range
    try:
        reward = math.fsum(rewards)
    except OverflowError:
        reward = math.inf
    if not low - 1e-9 * (high - low) <= reward <= high + 1e-9 * (high - low):
        raise BadEnvironment(
            f"The reward {reward:g} is outside the range {low:g} to {high:g}. "
            "Correct the reward, or declare its range as reward_range in [tool.practicum]."
        )
    return min(max(reward, low), high)


def metrics(found: object) -> dict[str, float]:
    """The finite numbers of a mapping by name, the first `MAX_METRICS` of them."""
    if not isinstance(found, Mapping):
        return {}
    kept: dict[str, float] = {}
    for name, value in found.items():
        if len(kept) == MAX_METRICS:
            break
        try:
            kept[str(name)[:MAX_NAME]] = number(value, "a metric")
        except BadEnvironment:
            continue
    return kept


def finished(completion: dict[str, Any], known: tuple[str, ...]) -> dict[str, Any]:
    """A chat completion whose finish reason is one of `known`; "stop" in place of any other."""
    (choice,) = completion["choices"]
    reason = choice["finish_reason"] if choice["finish_reason"] in known else "stop"
    return {**completion, "choices": [{**choice, "finish_reason": reason}]}


def messages(observation: Any) -> list[Message]:
    """An observation as messages: text is one from the user, and a list of messages itself.

    Raises BadEnvironment for a message that the worker would not take.
    """
    is_list = isinstance(observation, list | tuple) and len(observation) > 0
    if is_list and all(isinstance(one, Mapping) and "role" in one for one in observation):
        return [message(one) for one in observation]
    return [message({"role": "user", "content": str(observation)})]


def opening(made: object) -> list[Message]:
    """The system message of an environment that has a `system_prompt`. Raises LoadError."""
    prompt = getattr(made, "system_prompt", None)
    if prompt is None:
        return []
    if not isinstance(prompt, str):
        raise LoadError(f"system_prompt is {shown(prompt)}; it must be text.")
    return [message({"role": "system", "content": prompt})] if prompt else []
