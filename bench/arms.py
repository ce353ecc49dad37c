"""The ways in which the same rollouts are carried out."""

import itertools
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from environments import archives, manifest, packing
from graders.sandbox import Limits, Sandbox, Spec
from graders.session import Launch, Request, RolloutResult, Session
from tests.runner.local import INTERPRETER, Local

REPOSITORY = Path(__file__).parents[1]
COMPLETION = {
    "choices": [{"message": {"role": "assistant", "content": "50"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1},
}
DIRECT = "import sys; sys.path.insert(0, {!r}); from bench.direct import main; main()"


@dataclass(frozen=True)
class Example:
    """One of the examples, unpacked as the hub would: no dependencies, so no `site` folder."""

    bundle: Path
    manifest: manifest.Manifest

    def terms(self, root: str, concurrency: int) -> dict[str, Any]:
        """What a runner is told, if it sees the bundle at `root`."""
        one = self.manifest
        return {
            "entry": one.entry,
            "args": one.args,
            "format": one.format,
            "paths": tuple(f"{root}/project/{path}".rstrip("/") for path in one.import_paths),
            "max_turns": one.max_turns,
            "reward_range": one.reward_range,
            "concurrency": concurrency,
        }


@contextmanager
def unpacked(name: str) -> Iterator[Example]:
    """Raises ValueError for an example with dependencies, which only a build could bring."""
    with (
        tempfile.TemporaryDirectory(prefix="practicum-bench-") as scratch,
        tempfile.TemporaryFile() as file,
    ):
        file.write(packing.pack(REPOSITORY / "examples" / name))
        archive = archives.check(file, f"{name}.tar.gz")
        (described,) = manifest.read(archive)
        if described.dependencies:
            raise ValueError(f"{name} has dependencies: choose an example without")
        bundle = Path(scratch)
        bundle.chmod(0o755)
        archive.extract(bundle / "project")
        yield Example(bundle, described)


class AtOnce:
    """A model that has its answer at hand."""

    async def chat(self, body: dict[str, Any], seed: int) -> dict[str, Any]:
        return COMPLETION

    async def __aenter__(self) -> "AtOnce":
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing was opened."""


class Plain(Local):
    """The runner as a plain process; it finds no site-packages, as in a sandbox."""

    def argv(self, spec: Spec) -> list[str]:
        command, *rest = super().argv(spec)
        return [command, "-S", *rest]


@dataclass(frozen=True)
class Times:
    """Where the time of one run went, in seconds; `count` is how many rollouts it had."""

    start: float
    load: float
    run: float
    close: float
    count: int
    rewards: tuple[float | None, ...]

    @property
    def rate(self) -> float:
        """Rollouts a second, once the environment is loaded."""
        return self.count / self.run


def through(sandbox: Sandbox, example: Example, root: str, count: int, concurrency: int) -> Times:
    """The rollouts by a session; the runner sees the bundle at `root`."""
    terms = example.terms(root, concurrency)
    launch = Launch(bundle=example.bundle, job="bench", limits=Limits(seconds=300.0), **terms)
    results: list[RolloutResult] = []
    requests = [Request(task=number, number=0, seed=number) for number in range(count)]
    session = Session(sandbox, launch, AtOnce())
    marks = [time.perf_counter()]
    with session:
        marks.append(time.perf_counter())
        session.run(requests, results.append)
        marks.append(time.perf_counter())
    marks.append(time.perf_counter())
    entered, ran, closed = (after - before for before, after in itertools.pairwise(marks))
    load = session.hello.load_s
    rewards = {result.task: result.reward for result in results}
    return Times(entered - load, load, ran, closed, count, tuple(map(rewards.get, range(count))))


def directly(example: Example, count: int, concurrency: int) -> Times:
    """The same adapter and the model in one process."""
    terms = example.terms(str(example.bundle), concurrency)
    terms |= {"count": count, "completion": COMPLETION}
    command = [INTERPRETER, "-S", "-P", "-B", "-c", DIRECT.format(str(REPOSITORY))]
    env = {"PYTHONHASHSEED": "0"}
    began = time.perf_counter()
    done = subprocess.run([*command, json.dumps(terms)], env=env, capture_output=True, check=True)
    taken = time.perf_counter() - began
    said = json.loads(done.stdout)
    start = taken - said["load"] - said["run"]
    return Times(start, said["load"], said["run"], 0.0, count, tuple(said["rewards"]))
