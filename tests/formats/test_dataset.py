"""The smallest upload of docs/formats/dataset.md, in the sandbox."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graders.errors import ModelUnavailable
from graders.session import Request
from tests.formats.bundled import Bundled
from tests.formats.table import ROOT
from tests.runner.bench import Chat

FORM = "dataset"
proves = pytest.mark.proves

Bundle = Callable[[str | Path], Bundled]


@pytest.fixture
def smallest(bundled: Bundle, tmp_path: Path) -> Bundled:
    """The files that the page shows, as they stand there."""
    folder = tmp_path / "plus-one"
    folder.mkdir()
    page = (ROOT / "docs" / "formats" / "dataset.md").read_text()
    for name, content in re.findall(r"```\w+\n# (\S+)\n(.*?)```", page, re.DOTALL):
        (folder / name).write_text(content)
    return bundled(folder)


def plus_one(messages: list[dict[str, Any]], seed: int) -> str:
    number = int(messages[-1]["content"].split()[0])
    return f"So <answer>{number + 1}</answer>."


@proves(FORM, "recognised")
def test_what_the_entry_returns_tells_the_format(smallest: Bundled) -> None:
    assert smallest.manifest.format is None
    with smallest.session() as session:
        assert (session.hello.format, session.hello.tasks) == (FORM, None)


@proves(FORM, "single turn")
def test_the_marked_answer_is_scored(smallest: Bundled) -> None:
    results = smallest.run(Chat(plus_one), [Request(task, 0, task) for task in range(4)])
    assert [(one.reward, one.turns) for one in results] == [(1.0, 1)] * 4
    assert smallest.run(Chat(lambda *_: "2"), [Request(0, 0, 0)])[0].reward == 0.0


@proves(FORM, "deterministic")
def test_rollouts_can_be_repeated(smallest: Bundled) -> None:
    def sometimes(messages: list[dict[str, Any]], seed: int) -> str:
        lucky = hashlib.sha256(f"{messages}{seed}".encode()).digest()[0] % 2
        return plus_one(messages, seed) if lucky else "no"

    assert smallest.is_repeatable(Chat(sometimes))


def test_whose_fault_it_is(smallest: Bundled) -> None:
    def failing(messages: list[dict[str, Any]], seed: int) -> str:
        if messages[-1]["content"].startswith("1 "):
            raise ModelUnavailable("down")
        return plus_one(messages, seed)

    results = smallest.run(Chat(failing), [Request(task, 0, task) for task in range(3)])
    assert [one.error_kind for one in results] == [None, "model", None]
