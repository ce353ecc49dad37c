"""An environment with Gymnasium's spaces, as one that is observed and stepped in text.

What the model is told of it stands in its `system_prompt`, or else in its docstring, which in
Gymnasium's own environments is their page in the documentation.
"""

import re
from collections.abc import Mapping, Sequence
from io import StringIO
from textwrap import dedent
from typing import Any

from ..faults import LoadError
from .spaces import MAX_NUMBERS, Choices, Unclear, Values, actions, kind, numbers, told

SECTION = 1500  # characters of one that are told
# What the letters and colours of Gymnasium's text renderings stand for.
LEGENDS = {
    "FrozenLakeEnv": "S is the start, F ice, H a hole, G the goal. [ ] is around where you are.",
    "CliffWalkingEnv": "x is where you are, C the cliff, T the goal.",
    "TaxiEnv": "| is a wall. What is marked yellow is the taxi, green the taxi with the passenger "
    "in it, blue where the passenger waits, magenta the destination; _ is an empty square.",
}
# What is said for an action beside the names that it has.
ALSO = {"TaxiEnv": {"pick up": 4, "dropoff": 5}}
COLOURS = ("gray", "red", "green", "yellow", "blue", "magenta", "cyan", "white", "crimson")
_MARKED = re.compile(r"((?:\x1b\[[1-9][\d;]*m)+)([^\x1b]*)(?:\x1b\[0m)+")
_CODE = re.compile(r"\x1b\[(\d+)")
_HEADED = re.compile(r"^[ \t]*##[ \t]+(.+?)[ \t]*\n(.*?)(?=^[ \t]*##[ \t]|\Z)", re.M | re.DOTALL)
_NUMBERED = re.compile(r"^\s*-\s*(-?\d+):\s*(.+?)\s*$", re.M)
_MARKUP = re.compile(r"```.*?```|!\[[^\]]*\]\([^)]*\)|</?\w[^>]*>", re.DOTALL)
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")


class Worded:
    """`reset(seed)` and `step(text)` of an environment, observations being text.

    Raises LoadError for one that no text does justice. A reply without an action in it is a step
    that changes nothing and earns 0.
    """

    def __init__(self, env: Any) -> None:
        if getattr(env, "num_envs", 1) != 1:
            raise LoadError("This is a vector of environments. Make a single one.")
        self._env = env
        self._is_drawn = getattr(env, "render_mode", None) == "ansi"
        if not self._is_drawn:
            _check(env.observation_space)
        self._sort = type(_bare(env)).__name__
        page = _sections(_bare(env))
        names, also = _names(_bare(env), page), ALSO.get(self._sort, {})
        self._actions: Choices | Values = actions(env.action_space, names, also)
        self._allowed: list[int] | None = None
        self.system_prompt = self._prompt(page)

    def reset(self, *, seed: int) -> Any:
        made = self._env.reset(seed=seed)
        if not isinstance(made, tuple) or len(made) != 2:
            return made  # for the caller to complain about
        return self._told(*made), made[1]

    def step(self, reply: str) -> Any:
        try:
            action = self._actions.read(reply, self._allowed)
        except Unclear as unclear:
            return str(unclear), 0.0, False, False, {}
        made = self._env.step(action)
        if not isinstance(made, tuple) or len(made) != 5 or made[2] or made[3]:
            return made
        return self._told(made[0], made[4]), *made[1:]

    def _prompt(self, page: Mapping[str, str]) -> str:
        own = getattr(_bare(self._env), "system_prompt", None)
        wanted = ("", "Description", "" if self._is_drawn else "Observation Space", "Rewards")
        parts = [own] if own else [page[name] for name in dict.fromkeys(wanted) if name in page]
        if self._is_drawn and not own:
            parts.append(LEGENDS.get(self._sort, ""))
        parts.append(f"{self._actions.rule()}\n{self._actions.listed()}")
        return "\n\n".join(part for part in parts if part)

    def _told(self, observation: Any, info: Any) -> str:
        text = _drawn(self._env.render()) if self._is_drawn else told(observation)
        self._allowed = self._masked(info)
        if self._allowed is None:
            return text
        return f"{text}\n\nPossible now:\n{self._actions.listed(self._allowed)}"

    def _masked(self, info: Any) -> list[int] | None:
        """The actions that `info["action_mask"]` leaves, None where it tells of none."""
        mask = info.get("action_mask") if isinstance(info, Mapping) else None
        if mask is None or not isinstance(self._actions, Choices):
            return None
        every = self._actions.numbers
        left = [one for one, free in zip(every, list(mask), strict=False) if free]
        return left if len(mask) == len(every) else None


def has_spaces(env: Any) -> bool:
    """Whether an environment takes actions that are not text."""
    return kind(getattr(env, "action_space", None)) not in ("", "Text")


def drawn_as_text(env: Any) -> Any:
    """The environment, made once more to be rendered as text if it can be and nothing else is
    asked of it."""
    modes = getattr(env, "metadata", {}).get("render_modes", ())
    if "ansi" not in modes or getattr(env, "render_mode", None) is not None:
        return env
    spec = getattr(env, "spec", None)
    if spec is None or spec.additional_wrappers:
        return env
    return spec.make(render_mode="ansi")


def _check(space: Any) -> None:
    """Raises LoadError for observations that are pictures, or too long to be read."""
    if kind(space) == "Box" and space.dtype == "uint8" and len(space.shape) in (2, 3):
        size = " x ".join(map(str, space.shape))
        raise LoadError(f"Its observations are pictures ({size}); models read text alone here.")
    if (count := numbers(space)) > MAX_NUMBERS:
        raise LoadError(
            f"Its observations have {count} numbers, more than {MAX_NUMBERS}, and it has no "
            'render_mode "ansi" to show them as text.'
        )


def _bare(env: Any) -> Any:
    return getattr(env, "unwrapped", env)


def _sections(env: Any) -> dict[str, str]:
    """The docstring's sections by their heads; without any, all of it as ""."""
    page = type(env).__doc__ or ""
    found = {head: _cleaned(text) for head, text in _HEADED.findall(page)}
    return found or {"": _cleaned(page)}


def _cleaned(text: str) -> str:
    """Without code, pictures and tags, and of links the text alone."""
    return _LINK.sub(r"\1", _MARKUP.sub("", dedent(text))).strip()[:SECTION]


def _names(env: Any, page: Mapping[str, str]) -> dict[int, str]:
    """What the environment calls its actions, by number."""
    meanings = getattr(env, "get_action_meanings", None)
    if callable(meanings):
        return dict(enumerate(map(str, meanings())))
    listed = _NUMBERED.findall(page.get("Action Space", ""))
    return {int(number): name for number, name in listed}


def _drawn(made: Any) -> str:
    """A rendering in text, with [ ] around what has a colour, and its name if there are several."""
    text = made.getvalue() if isinstance(made, StringIO) else made
    if isinstance(text, Sequence) and not isinstance(text, str):
        text = "\n".join(map(str, text))
    colours = set(_CODE.findall(str(text))) - {"0"}

    def mark(found: re.Match[str]) -> str:
        inner = found[2].strip() or "_"
        named = " ".join(map(_colour, _CODE.findall(found[1])))
        return f"[{inner}]" if len(colours) == 1 else f"[{inner} {named}]"

    return _MARKED.sub(mark, str(text)).strip("\n")


def _colour(code: str) -> str:
    at = int(code) % 10
    return COLOURS[at] if at < len(COLOURS) else "marked"
