"""Gymnasium's spaces in words: an observation as text, and a reply as an action.

Spaces are known by the names of their classes; the library is not imported.
"""

import json
import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..faults import LoadError, shown

KINDS = ("Discrete", "MultiDiscrete", "MultiBinary", "Box", "Tuple", "Dict", "Text")
UNSAYABLE = ("Graph", "Sequence", "OneOf")
MAX_NUMBERS = 400  # of an observation that is shown as numbers
MAX_LISTED = 100  # actions, or numbers of one action, that are listed one by one
READ = 20_000  # characters of a reply that are looked at, the last ones

_decode = json.JSONDecoder().raw_decode
_VALUE = re.compile(r'[\[{"\-\d]')


class Unclear(Exception):
    """No action can be read from a reply; the message is for the model."""


def kind(space: Any) -> str:
    """Which of the kinds of spaces it is, "" if none. Raises LoadError for a kind without words."""
    names = (one.__name__ for one in type(space).__mro__)
    found = next((name for name in names if name in (*KINDS, *UNSAYABLE)), "")
    if found in UNSAYABLE:
        raise LoadError(f"This hub cannot put a space of the kind {found} into words.")
    return found


@dataclass(frozen=True)
class Choices:
    """The actions of a Discrete space.

    `names` has those that the environment names, `also` what else may be said for one of them.
    """

    numbers: range
    names: Mapping[int, str]
    also: Mapping[str, int] = field(default_factory=dict)

    def rule(self) -> str:
        told = "Choose an action by its number"
        told = f"{told} or its name" if self.names else told
        return f"{told}. If you write more, the last one that you name counts."

    def listed(self, allowed: Iterable[int] | None = None) -> str:
        """The actions, one a line; `allowed` limits them."""
        numbers = self.numbers if allowed is None else list(allowed)
        if len(numbers) > MAX_LISTED:
            return f"a whole number from {numbers[0]} to {numbers[-1]}"
        return "\n".join(f"{one}: {self.names.get(one, f'action {one}')}" for one in numbers)

    def read(self, reply: str, allowed: Sequence[int] | None) -> int:
        """The action that a reply names last. Raises Unclear."""
        said = [found[0].lower() for found in self._pattern().finditer(reply[-READ:])]
        known = self._sayings()
        meant = [known[one] if one in known else _whole(one) for one in said]
        valid = [one for one in meant if one is not None and one in self.numbers]
        if not valid:
            raise Unclear(f"Your reply names no action. {self.rule()}\n{self.listed(allowed)}")
        if allowed is not None and valid[-1] not in allowed:
            name = self.names.get(valid[-1], valid[-1])
            raise Unclear(f"{name} is not possible now. Possible:\n{self.listed(allowed)}")
        return valid[-1]

    def _sayings(self) -> dict[str, int]:
        return {**_variants(self.names), **self.also}

    def _pattern(self) -> re.Pattern[str]:
        names = sorted(self._sayings(), key=len, reverse=True)
        either = "|".join([*map(re.escape, names), r"-?\d+(?!\.?\d)"])
        return re.compile(rf"(?<![\w.-])(?:{either})(?!\w)", re.IGNORECASE)


@dataclass(frozen=True)
class Values:
    """The actions of any other space, as JSON."""

    space: Any

    def rule(self) -> str:
        return "Give the action as JSON. If you write more, the last JSON value counts. It must be:"

    def listed(self, allowed: Iterable[int] | None = None) -> str:
        return described(self.space)

    def read(self, reply: str, allowed: Sequence[int] | None) -> Any:
        """The last value of a reply that is an action. Raises Unclear."""
        for value in reversed(list(_values(reply[-READ:]))):
            try:
                action = _action(self.space, value)
            except (KeyError, OverflowError, TypeError, ValueError):
                continue
            if self.space.contains(action):
                return action
        raise Unclear(f"Your reply has no such action in it. {self.rule()} {self.listed()}")


def actions(space: Any, names: Mapping[int, str], also: Mapping[str, int]) -> Choices | Values:
    """How the actions of a space are listed and read. Raises LoadError for one without words."""
    if kind(space) == "Discrete":
        start = int(getattr(space, "start", 0))
        return Choices(range(start, start + int(space.n)), names, also)
    described(space)
    return Values(space)


def described(space: Any) -> str:
    """The values of a space, in words. Raises LoadError for one that no text says."""
    match kind(space):
        case "Discrete":
            start = int(getattr(space, "start", 0))
            return f"a whole number from {start} to {start + int(space.n) - 1}"
        case "Text":
            return f"a text of {space.min_length} to {space.max_length} characters"
        case "Tuple":
            return f"[{', '.join(described(one) for one in space.spaces)}]"
        case "Dict":
            inner = (
                f"{json.dumps(str(key))}: {described(one)}" for key, one in space.spaces.items()
            )
            return f"{{{', '.join(inner)}}}"
        case "Box" | "MultiDiscrete" | "MultiBinary":
            return _numbers(space)
    raise LoadError(f"{shown(space)} is no space that this hub can put into words.")


def told(observation: Any) -> str:
    """An observation: text as it is, anything else as JSON, numbers to six digits."""
    return observation if isinstance(observation, str) else json.dumps(_plain(observation))


def numbers(space: Any) -> int:
    """How many numbers an observation of a space has, a text counting as none."""
    match kind(space):
        case "Tuple":
            return sum(map(numbers, space.spaces))
        case "Dict":
            return sum(map(numbers, space.spaces.values()))
        case "Box" | "MultiDiscrete" | "MultiBinary":
            return math.prod(space.shape)
    return 0


def _numbers(space: Any) -> str:
    """What an array has to be: each of its numbers, or its shape and bounds if there are many."""
    sort = "a number" if kind(space) == "Box" and space.dtype.kind == "f" else "a whole number"
    low, high = _bounds(space)
    bounds = [f"{sort} from {one:g} to {other:g}" for one, other in zip(low, high, strict=True)]
    if len(space.shape) < 2 and len(bounds) <= MAX_LISTED:
        return f"[{', '.join(bounds)}]" if space.shape else bounds[0]
    shape = " x ".join(map(str, space.shape))
    return f"nested lists ({shape}), each number {sort} from {min(low):g} to {max(high):g}"


def _bounds(space: Any) -> tuple[list[float], list[float]]:
    count = math.prod(space.shape)
    match kind(space):
        case "Box":
            return space.low.flatten().tolist(), space.high.flatten().tolist()
        case "MultiBinary":
            return [0] * count, [1] * count
    start = getattr(space, "start", None)
    low = [0] * count if start is None else start.flatten().tolist()
    size = space.nvec.flatten().tolist()
    return low, [one + many - 1 for one, many in zip(low, size, strict=True)]


def _values(text: str) -> Iterable[Any]:
    """The JSON values in a text, one after the other, those inside of others left out."""
    at = 0
    while found := _VALUE.search(text, at):
        try:
            value, at = _decode(text, found.start())
        except (ValueError, RecursionError):
            at = found.end()
        else:
            yield value


def _action(space: Any, value: Any) -> Any:
    """A JSON value as an element of a space. Raises ValueError and the like for what is none."""
    match kind(space):
        case "Discrete":
            if isinstance(value, bool) or not isinstance(value, int):
                raise ValueError("not a whole number")
            return value
        case "Tuple":
            return tuple(_action(one, each) for one, each in zip(space.spaces, value, strict=True))
        case "Dict":
            return {key: _action(one, value[key]) for key, one in space.spaces.items()}
        case "Text":
            return value
    numpy = sys.modules["numpy"]
    made = numpy.asarray(value)
    if made.dtype.kind not in "iuf" or not numpy.isfinite(made).all():
        raise ValueError("not finite numbers")
    if space.dtype.kind != "f" and (made != numpy.round(made)).any():
        raise ValueError("not whole numbers")
    return (made.reshape(space.shape) if made.size == 1 else made).astype(space.dtype)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if hasattr(value, "tolist"):  # numpy's arrays and numbers
        return _plain(value.tolist())
    if isinstance(value, float) and math.isfinite(value):
        return float(f"{value:.6g}")
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _whole(text: str) -> int | None:
    return int(text) if len(text) < 20 else None


def _variants(names: Mapping[int, str]) -> dict[str, int]:
    """What may be said for each action: its name, what is in brackets there, and what is left of
    it without the words at its ends that other names have too ("left" of "Move left")."""
    plain = {one: re.sub(r"\s*\([^)]*\)", "", name).lower() for one, name in names.items()}
    found: dict[str, set[int]] = {}
    for one, name in plain.items():
        others = {word for other, text in plain.items() if other != one for word in text.split()}
        words = name.split()
        while words and words[0] in others:
            words.pop(0)
        while words and words[-1] in others:
            words.pop()
        aside = re.findall(r"\(([^)]*)\)", names[one].lower())
        for variant in {name, names[one].lower(), " ".join(words), *aside} - {""}:
            found.setdefault(variant, set()).add(one)
    return {variant: one for variant, (one, *more) in found.items() if not more}
