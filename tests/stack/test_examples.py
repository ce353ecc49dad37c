"""Submitting the examples: what is sent, what is remembered, what a refusal says."""

import io
import tarfile
from pathlib import Path

import httpx
import pytest

from hub.stack import examples
from hub.stack.errors import StackError
from hub.stack.examples import Example
from hub.stack.paths import Paths


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("second", "first"):
        project = tmp_path / "examples" / name
        project.mkdir(parents=True)
        (project / "pyproject.toml").write_text(
            f'[project]\nname = "{name}-env"\nversion = "1.0"\n'
        )
    (tmp_path / "examples" / "notes").mkdir()
    return tmp_path / "examples"


def site(status: int, seen: list[httpx.Request], ends: tuple[str, ...] = ("",)) -> httpx.Client:
    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if status >= 400:
            errors = [{"message": "There is no README."}]
            return httpx.Response(status, json={"title": "Not accepted", "errors": errors})
        name = request.url.path.split("/")[5]
        versions = [{"name": f"{name}{end}", "version": "1.0"} for end in ends]
        return httpx.Response(status, json={**versions[0], "versions": versions})

    return httpx.Client(transport=httpx.MockTransport(answer), base_url="http://site")


@pytest.mark.parametrize("status", [201, 200])
def test_every_project_is_uploaded_as_an_archive(folder: Path, status: int) -> None:
    seen: list[httpx.Request] = []
    made = list(examples.submit(site(status, seen), folder))
    assert made == [Example("practicum", f"{name}-env", "1.0") for name in ("first", "second")]
    assert seen[0].url.path == "/api/v1/environments/practicum/first-env/versions/"
    body = seen[0].read()
    assert b'name="archive"; filename="first-env.tar.gz"' in body
    packed = body[body.index(b"\x1f\x8b") :]
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r|gz") as archive:
        entry = archive.next()
    assert entry is not None and entry.name.endswith("pyproject.toml")


def test_a_project_may_be_several_environments(folder: Path) -> None:
    made = list(examples.submit(site(201, [], ends=("-easy", "-hard")), folder))
    names = [f"{name}-env-{end}" for name in ("first", "second") for end in ("easy", "hard")]
    assert made == [Example("practicum", name, "1.0") for name in names]


def test_a_refusal_is_one_line_with_its_reason(folder: Path) -> None:
    with pytest.raises(StackError) as found:
        list(examples.submit(site(422, []), folder))
    assert str(found.value) == "Example first-env was refused: Not accepted: There is no README."


def test_only_a_whole_submission_is_remembered(paths: Paths) -> None:
    assert examples.submitted(paths) is None
    made = [Example("practicum", "first-env", "1.0")]
    examples.remember(paths, made)
    assert examples.submitted(paths) == made


def test_the_examples_of_this_checkout_are_projects() -> None:
    assert len(list(examples.FOLDER.glob("*/pyproject.toml"))) >= 5
