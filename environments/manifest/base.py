"""What a manifest is, and how its fields are read so that every problem is told at once."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TypeAlias, TypeVar

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a version says about itself.

    `name` is the environment's. `package` is the project's, normalised by PEP 503; one package may
    hold several environments. `version` is canonical by PEP 440 without a local part.
    `license` is an SPDX expression where the author gave one, else their own words.
    `readme_type` is text/markdown, text/x-rst or text/plain. `format` is None where it is to be
    found out when the environment is loaded. `reward_range` is (lowest, highest), finite;
    `pass_threshold` lies within it. `import_paths` are the folders of the archive that go on
    sys.path: ("src",) or ("",). `data` are files with the keys of `manifest.data`; `prepare` names
    what leaves more data, "package.module:name".
    """

    name: str
    package: str
    version: str
    entry: str
    summary: str = ""
    readme: str = ""
    readme_type: str = "text/plain"
    license: str = ""
    requires_python: str = ""
    dependencies: tuple[str, ...] = ()
    format: str | None = None
    args: dict[str, JSON] = field(default_factory=dict)
    pass_threshold: float = 1.0
    reward_range: tuple[float, float] = (0.0, 1.0)
    max_turns: int = 8
    tags: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    strategies: tuple[str, ...] = ()
    min_memory_mb: int | None = None
    data: tuple[dict[str, str], ...] = ()
    prepare: str | None = None
    import_paths: tuple[str, ...] = ("",)
    authors: tuple[str, ...] = ()
    urls: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a manifest, and what to do. `field` is "project.version" or alike."""

    field: str
    message: str


class BadManifest(Exception):
    """The manifest is refused; `problems` holds every reason found, at least one."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{p.field}: {p.message}" for p in problems[:5]))


class Problems:
    """Collects problems, at most 100 of them."""

    def __init__(self) -> None:
        self._problems: list[Problem] = []

    def __bool__(self) -> bool:
        return bool(self._problems)

    def add(self, field: str, message: str) -> None:
        problem = Problem(field[:200], message)
        if len(self._problems) < 100 and problem not in self._problems:
            self._problems.append(problem)

    def check(self) -> None:
        """Raise BadManifest if there are any."""
        if self._problems:
            raise BadManifest(self._problems)


class Table:
    """One table of a manifest. `label` turns a key into the field's name in problems."""

    def __init__(
        self, values: Mapping[str, object], label: Callable[[str], str], problems: Problems
    ) -> None:
        self.values, self.label, self.problems = values, label, problems

    def known(self, keys: tuple[str, ...]) -> None:
        """Report every key that is not one of `keys`."""
        for key in self.values:
            if key not in keys:
                near = get_close_matches(key, keys, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(keys)}."
                self.problems.add(self.label(key), f"There is no such key; {hint}")

    def field(self, key: str, parse: Callable[[object], T], default: T) -> T:
        """The parsed value; `default` if the key is missing, or wrong (then it is reported)."""
        if key not in self.values:
            return default
        return self._parsed(self.label(key), parse, self.values[key], default)

    def each(self, key: str, parse: Callable[[object], T | None], most: int) -> tuple[T, ...]:
        """Every parsed item, but None, of a list of at most `most`; the wrong ones are reported."""
        values = self.values.get(key, [])
        if not isinstance(values, list):
            self.problems.add(self.label(key), "It must be a list.")
            return ()
        if len(values) > most:
            self.problems.add(self.label(key), f"It may list at most {most}.")
        parsed = [
            self._parsed(f"{self.label(key)}[{at}]", parse, value, None)
            for at, value in enumerate(values[:most])
        ]
        return tuple(item for item in parsed if item is not None)

    def _parsed(self, label: str, parse: Callable[[object], T], value: object, default: T) -> T:
        try:
            return parse(value)
        except (ValueError, RecursionError) as error:
            lines = str(error).splitlines() or ["It is not valid."]
            self.problems.add(label, printable(lines[0])[:500])
            return default


def printable(text: str) -> str:
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def text(value: object, most: int) -> str:
    """One line of at most `most` characters. Raises ValueError."""
    if not isinstance(value, str):
        raise ValueError(f"It must be a string, not {type(value).__name__}.")
    line = value.strip()
    if len(line) > most:
        raise ValueError(f"It has {len(line)} characters; at most {most} are accepted.")
    if any(unicodedata.category(c) in ("Cc", "Cs") for c in line):
        raise ValueError("It must be one line without control characters.")
    return line


def document(value: object, most: int) -> str:
    """Text of many lines, at most `most` UTF-8 bytes. Raises ValueError."""
    if not isinstance(value, str):
        raise ValueError(f"It must be a string, not {type(value).__name__}.")
    if len(value.encode("utf-8", "surrogatepass")) > most:
        raise ValueError(f"It is larger than {most // 1024} KiB. Shorten it.")
    if re.search("[\0\ud800-\udfff]", value):
        raise ValueError("It has NUL characters or lone surrogates. Remove them.")
    return value
