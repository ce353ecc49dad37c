"""SkyRL-gym's environments: one for each row of the upload's own data.

SkyRL-gym has no tasks of its own. As in SkyRL, a row has the `prompt`, a list of messages, perhaps
an `env_class`, and whatever else the environment reads from its `extras` ("reward_spec", say).
Task i is row i. Arguments of the version:

- `data`: the rows, JSON lines (.jsonl) or Parquet, in a package of the upload, as in
  "package/train.jsonl", or as "$PRACTICUM_DATA/train.parquet". The package is imported first, so
  that it can register its environments.
- `env_class`: the environment of rows that name none
- `env_config`: what environments get as their configuration

An entry other than `skyrl_gym.make` is called in its place, with `env_config` and `extras`.
"""

import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import imports
from ..attempts import Attempt, Message
from ..faults import BadEnvironment, LoadError, shown
from .base import messages, metrics, number
from .steps import Step, Steps

_decode = json.JSONDecoder().decode
KEPT = ("prompt", "env_class")  # what is not among an environment's extras
AS_IN = '"package/train.jsonl"'


@dataclass(frozen=True)
class Rows:
    """Tasks, and what makes the environment of one."""

    entry: Callable[..., Any]
    rows: list[dict[str, Any]]
    env_class: str | None
    config: Any

    def environment(self, task: int, max_turns: int) -> Any:
        """A new environment for a row, told how many replies there will be at most."""
        row = self.rows[task]
        rest = {name: deepcopy(value) for name, value in row.items() if name not in KEPT}
        given = {"env_config": self.config, "extras": {**rest, "max_turns": max_turns}}
        if self.entry is not imports.module("skyrl_gym").make:
            return self.entry(**given)
        env_class = row.get("env_class") or self.env_class
        if not isinstance(env_class, str):
            raise BadEnvironment(
                f"Row {task} has no env_class. Add it there, or to args for all rows."
            )
        return self.entry(env_class, **given)

    def prompt(self, task: int) -> list[dict[str, Any]]:
        """A copy of a row's conversation."""
        prompt = self.rows[task].get("prompt")
        if isinstance(prompt, str):
            prompt = [{"role": "user", "content": prompt}]
        if not isinstance(prompt, list) or not prompt:
            raise BadEnvironment(f"Row {task} has the prompt {shown(prompt)}, no list of messages.")
        return deepcopy(prompt)


class SkyRLGym(Steps):
    """`init(prompt)`, then `step(reply)` until it is done."""

    name = "skyrl-gym"
    needs = "rows of data, as args = { data = ... }"
    package = "skyrl-gym"
    entry = "skyrl_gym:make"
    imports = ("omegaconf", "pyarrow.parquet")

    @classmethod
    def recognise(cls, made: object) -> bool:
        return isinstance(made, Rows)

    @classmethod
    def maker(cls, entry: Callable[..., Any], args: Mapping[str, Any]) -> Callable[[], Any]:
        if unknown := sorted(set(args) - {"data", "env_class", "env_config"}):
            raise LoadError(f"args has {', '.join(unknown)}; it takes data, env_class, env_config.")
        config = imports.module("omegaconf").OmegaConf.create(args.get("env_config", {}))
        made = Rows(entry, _read(args.get("data")), args.get("env_class"), config)
        return lambda: made

    def tasks(self) -> int | None:
        return len(self.source.first.rows)

    @asynccontextmanager
    async def environment(self, attempt: Attempt) -> AsyncIterator[Any]:
        make = self.source.first.environment
        env = attempt.pose(make, attempt.task, attempt.max_turns)
        try:
            yield env
        finally:
            self.close(attempt, env)

    def begin(self, env: Any, task: int) -> list[Message]:
        made = env.init(self.source.first.prompt(task))
        if not isinstance(made, tuple) or len(made) != 2:
            raise BadEnvironment(f"init() returned {shown(made)}; it must return (prompt, info).")
        return _conversation(made[0])

    def step(self, env: Any, reply: str) -> Step:
        made = env.step(reply)
        if not isinstance(made, Mapping) or not {"observations", "reward", "done"} <= set(made):
            raise BadEnvironment(
                f"step() returned {shown(made)}; it must return observations, reward and done."
            )
        said = made.get("postprocessed_action")
        return Step(
            messages=_conversation(made["observations"]) if made["observations"] else [],
            reward=number(made["reward"], "The reward of step()"),
            is_last=bool(made["done"]),
            metrics=metrics(env.get_metrics()) if hasattr(env, "get_metrics") else {},
            said=said if isinstance(said, str) else None,
        )


def _conversation(found: Any) -> list[Message]:
    if not isinstance(found, list | tuple):
        raise BadEnvironment(f"{shown(found)} is no list of messages.")
    return messages(found)


def _read(path: Any) -> list[dict[str, Any]]:
    """The rows of a file. Raises LoadError."""
    file = _file(path)
    if not file.is_file():
        raise LoadError(f"There is no file {path}. Name it from the package on, as in {AS_IN}.")
    if file.suffix == ".parquet":
        rows = imports.module("pyarrow.parquet").read_table(file).to_pylist()
    else:
        lines = file.read_text(encoding="utf-8").splitlines()
        rows = [
            _row(line, f"{path}, line {at}") for at, line in enumerate(lines, 1) if line.strip()
        ]
    if not rows:
        raise LoadError(f"{path} has no rows.")
    return list(rows)


def _row(line: str, place: str) -> dict[str, Any]:
    try:
        row = _decode(line)
    except (ValueError, RecursionError) as error:
        raise LoadError(f"{place}, is not JSON: {error}.") from error
    if not isinstance(row, dict):
        raise LoadError(f"{place}, is {shown(row)}, no object.")
    return row


def _file(path: Any) -> Path:
    """Where a file of data lies. Imports the package that it is in. Raises LoadError."""
    if not isinstance(path, str) or not path:
        raise LoadError(f"args has the data {shown(path)}; it must name a file, as in {AS_IN}.")
    file = Path(os.path.expandvars(path))
    if file.is_absolute():
        return file
    package, *inner = file.parts
    folder = next(iter(getattr(imports.module(package), "__path__", ())), None)
    if folder is None or not inner:
        raise LoadError(f"data is {path}; it must name a file in a package, as in {AS_IN}.")
    return Path(folder, *inner)
