"""What the hub needs to know: `[tool.practicum]`, or a wheel's practicum.toml."""

import math
import re
from dataclasses import dataclass, field

from environments.manifest.base import JSON, Table, text
from environments.manifest.formats import FORMATS

KEYS = (
    *("entry", "format", "args", "pass_threshold", "reward_range", "max_turns"),
    *("tags", "domains", "strategies", "min_memory_mb"),
)

SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
ENTRY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
EXACT = 2**53 - 1
ARGS_VALUES, ARGS_DEPTH, ARGS_TEXT = 2000, 8, 10_000
MAX_TURNS = 256
MEMORY_MB = (16, 65_536)


@dataclass(frozen=True)
class Hub:
    """The table's settings. `entry` is None if it is not given, "" if it is wrong."""

    entry: str | None = None
    format: str | None = None
    args: dict[str, JSON] = field(default_factory=dict)
    pass_threshold: float = 1.0
    reward_range: tuple[float, float] = (0.0, 1.0)
    max_turns: int = 8
    tags: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    strategies: tuple[str, ...] = ()
    min_memory_mb: int | None = None


def hub(table: Table, base: Hub) -> Hub:
    """Read the table's settings, reporting what is wrong with them; what is not given is as in
    `base`, over whose args the table's are laid."""
    low, high = table.field("reward_range", _reward_range, base.reward_range)
    threshold = table.field("pass_threshold", _number, base.pass_threshold)
    is_own = not table.values.keys().isdisjoint({"reward_range", "pass_threshold"})
    if is_own and not low <= threshold <= high:
        message = f"{threshold:g} is outside reward_range [{low:g}, {high:g}]; set it within."
        table.problems.add(table.label("pass_threshold"), message)
    memory = table.field(
        "min_memory_mb", lambda value: _whole(value, *MEMORY_MB), base.min_memory_mb
    )
    own: dict[str, JSON] = table.field("args", _args, {})
    return Hub(
        entry=table.field("entry", entry, "" if "entry" in table.values else base.entry),
        format=table.field("format", _format, base.format),
        args=base.args | own,
        pass_threshold=threshold,
        reward_range=(low, high),
        max_turns=table.field(
            "max_turns", lambda value: _whole(value, 1, MAX_TURNS), base.max_turns
        ),
        tags=_slugs(table, "tags", 20, base.tags),
        domains=_slugs(table, "domains", 10, base.domains),
        strategies=_slugs(table, "strategies", 10, base.strategies),
        min_memory_mb=memory,
    )


def entry(value: object) -> str:
    """An entry, "package.module:name". Raises ValueError."""
    found = text(value, 200)
    if not ENTRY.fullmatch(found):
        raise ValueError(f"{found!r} must be as in 'package.module:make'.")
    return found


def _format(value: object) -> str | None:
    name = text(value, 100)
    if name not in FORMATS:
        raise ValueError(
            f"{name!r} is not supported. It is one of {', '.join(FORMATS)}; leave it out to have "
            "it found out."
        )
    return name


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"It must be a number, not {type(value).__name__}.")
    if not (math.isfinite(value) and abs(value) <= EXACT):
        raise ValueError("It must be finite, and below 2**53.")
    return float(value)


def _whole(value: object, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"It must be a whole number from {low} to {high}.")
    return value


def _reward_range(value: object) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError("It must be [lowest, highest], as in [0.0, 1.0].")
    low, high = map(_number, value)
    if low >= high:
        raise ValueError(f"Its lowest ({low:g}) must be below its highest ({high:g}).")
    return low, high


def _slugs(table: Table, key: str, most: int, base: tuple[str, ...]) -> tuple[str, ...]:
    if key not in table.values:
        return base
    slugs = table.each(key, lambda value: slug(value, 40), most)
    twice = sorted({one for one in slugs if slugs.count(one) > 1})
    if twice:
        table.problems.add(table.label(key), f"It lists {', '.join(twice)} twice.")
    return slugs


def slug(value: object, most: int) -> str:
    """A slug of at most `most` characters. Raises ValueError."""
    found = text(value, most)
    if not SLUG.fullmatch(found):
        raise ValueError(f"{found!r} must be lowercase letters and digits, with - between words.")
    return found


def _args(value: object) -> dict[str, JSON]:
    """Keyword arguments for the entry."""
    if not isinstance(value, dict):
        raise ValueError('It must be a table, as in {difficulty = "hard"}.')
    for key in value:
        if not str(key).isidentifier():
            raise ValueError(f"{key!r} cannot be the name of an argument.")
    left = [ARGS_VALUES]
    return {str(key): _json(item, ARGS_DEPTH - 1, left) for key, item in value.items()}


def _json(value: object, depth: int, left: list[int]) -> JSON:
    """The value, if JSON can carry it; `left[0]` counts down the values allowed."""
    left[0] -= 1
    if left[0] < 0 or depth < 0:
        raise ValueError(
            f"It holds more than {ARGS_VALUES} values or is over {ARGS_DEPTH} deep. Put data in "
            "a file of the package."
        )
    match value:
        case bool():
            return value
        case int() | float():
            _number(value)
            return value
        case str():
            return _string(value)
        case list():
            return [_json(item, depth - 1, left) for item in value]
        case dict():
            return {_string(str(key)): _json(item, depth - 1, left) for key, item in value.items()}
    raise ValueError(f"{value} has no equivalent in JSON; write it as a string.")


def _string(value: str) -> str:
    if len(value) > ARGS_TEXT:
        raise ValueError(f"A string in it has over {ARGS_TEXT} characters. Put it in a file.")
    return value
