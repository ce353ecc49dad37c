"""The environments that the fault run uploads: small, without dependencies, some of them bad.

The reward of a healthy one follows from its key, the task and what the model said, so it can be
computed again without the environment (`reward`).
"""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from tests.environments.making import plain_tar

NUMBER = "1.0.0"  # of every version
TASKS = 3
TURNS = 2  # of the gymnasium ones
LARGE = 3 << 20  # bytes; more than the site keeps of an upload in memory

MANIFEST = """[project]
name = "{name}"
version = "{number}"
description = "Made for a fault run."

[tool.practicum]
entry = "faulty:make"
"""

SCORE = """
import hashlib, os, sys, time

KEY = "{key}"


def reward(*parts):
    return hashlib.sha256("\\0".join((KEY, *parts)).encode("utf-8", "replace")).digest()[0] / 255

"""

GYMNASIUM = """
class Environment:
    num_tasks = {tasks}

    def reset(self, seed=None):
        self.task, self.said = seed, []
        {at_reset}
        return f"{{KEY}}, task {{seed}}: say something.{prompt}", {{}}

    def step(self, text):
        {at_step}
        self.said.append(text)
        is_last = len(self.said) == {turns}
        gained = reward(str(self.task), *self.said) if is_last else 0.0
        return f"{{KEY}}, task {{self.task}}: and now?", gained, is_last, False, {{}}


def make():
    return Environment()
"""

DATASET = """
class Data:
    system_prompt = ""

    def __len__(self):
        return {tasks}

    def __getitem__(self, task):
        return {{"question": f"{{KEY}}, task {{task}}: say something.", "task": task}}

    def score_answer(self, answer, entry):
        return reward(str(entry["task"]), answer)


def make():
    return Data()
"""

# What bad ones do, and where: at import, at a reset, at a step, or in the prompt.
BAD: dict[str, dict[str, str]] = {
    "out of memory": {"at_reset": "self.hoard = [bytearray(64 << 20) for _ in range(32)]"},
    "endless loop": {"at_step": "while True: time.sleep(0.01)"},
    "crash at import": {"at_import": "raise RuntimeError('I am broken')"},
    "flood": {"at_reset": "for _ in range(2000): print('x' * 4096)"},
    "exit": {"at_step": "sys.exit(3)"},
    "exit at once": {"at_step": "os._exit(0)"},
    "odd prompt": {"prompt": "\\x00 \\ud800 \\x1b[2J"},
}
# These can be scored all the same.
HARMLESS = frozenset({"flood", "odd prompt"})
SLOW_TO_FAIL = "endless loop"


@dataclass(frozen=True)
class Package:
    """An archive to upload. `kind` is "gymnasium", "dataset" or what is wrong with it."""

    name: str
    kind: str
    key: str
    archive: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.archive).hexdigest()

    @property
    def is_healthy(self) -> bool:
        return self.kind not in BAD

    @property
    def is_measurable(self) -> bool:
        """Whether it can be scored, although it may be bad."""
        return self.is_healthy or self.kind in HARMLESS

    @property
    def turns(self) -> int:
        return 1 if self.kind == "dataset" else TURNS


class Maker:
    """Makes packages, no two with the same name."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._numbers = count(1)

    def some(self, amount: int) -> list[Package]:
        """A mix: each bad kind once, then one in six bad, one in forty large; few that loop."""
        cheap = [kind for kind in BAD if kind != SLOW_TO_FAIL]
        kinds = [*BAD, *[SLOW_TO_FAIL] * (amount // 200)]
        while len(kinds) < amount:
            is_bad = self._random.random() < 1 / 6
            kinds.append(self._random.choice(cheap if is_bad else ["gymnasium", "dataset"]))
        made = [self.one(kind, large=self._random.random() < 1 / 40) for kind in kinds[:amount]]
        self._random.shuffle(made)
        return made

    def one(self, kind: str = "gymnasium", *, large: bool = False) -> Package:
        """One package of a kind, under a new name."""
        return self.version(f"fault-{next(self._numbers)}", kind, large=large)

    def version(self, name: str, kind: str = "gymnasium", *, large: bool = False) -> Package:
        """A version of a named environment; other bytes at each call."""
        key = f"{name}-{self._random.getrandbits(32):08x}"
        files = {
            "pyproject.toml": MANIFEST.format(name=name, number=NUMBER).encode(),
            "faulty.py": _source(kind, key).encode(),
        }
        if large:
            files["padding.bin"] = self._random.randbytes(LARGE)
        return Package(name, kind, key, plain_tar(files))


def reward(package_key: str, task: int, said: Sequence[str]) -> float:
    """What a healthy environment gives for what the model said."""
    parts = "\0".join((package_key, str(task), *said))
    return hashlib.sha256(parts.encode("utf-8", "replace")).digest()[0] / 255


def prompt(package_key: str, task: int, turn: int) -> str:
    """What a healthy environment asks at a turn, from 0."""
    return f"{package_key}, task {task}: " + ("say something." if turn == 0 else "and now?")


def _source(kind: str, key: str) -> str:
    head = SCORE.format(key=key)
    if kind == "dataset":
        return head + DATASET.format(tasks=TASKS)
    wrong = {"at_reset": "pass", "at_step": "pass", "prompt": ""} | BAD.get(kind, {})
    at_import = wrong.pop("at_import", "")
    return f"{head}{at_import}\n" + GYMNASIUM.format(tasks=TASKS, turns=TURNS, **wrong)
