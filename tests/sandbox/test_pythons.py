"""Several Pythons: which there are, and which one a version gets."""

import sys
from pathlib import Path

import pytest

from graders.errors import EnvironmentFault, PlatformFault
from graders.pipeline import launching
from graders.sandbox import SandboxUnavailable, interpreters, offer
from graders.sandbox.bubblewrap import Bubblewrap
from graders.sandbox.interpreters import MINORS, minor
from graders.sandbox.offers import Offer
from tests.factories import make_version

from .support import IMAGE, spec

OWN = minor(sys.version.split()[0])


def script(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def claims(version: str, implementation: str = "CPython") -> str:
    """A script that answers as an interpreter of that version would."""
    return (
        f'echo \'{{"executable": "/x", "implementation": "{implementation}", '
        f'"version": "{version}", "prefix": "/x", "libraries": ["/x"], "headers": []}}\''
    )


def test_the_own_interpreter_comes_first():
    found = interpreters.find()
    assert next(iter(found)) == OWN
    assert set(found) <= set(MINORS)
    for python, one in found.items():
        assert one.minor == python
        assert one.executable.is_file()
        assert all(folder.is_dir() for folder in (*one.libraries, *one.headers))


def test_those_on_the_path_are_found_and_dead_shims_are_not(tmp_path, monkeypatch):
    others = [python for python in MINORS if python != OWN]
    script(tmp_path, f"python{others[0]}", claims(f"{others[0]}.1"))
    script(tmp_path, f"python{others[1]}", "echo 'command not found' >&2; exit 127")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    found = interpreters.find()
    assert found[others[0]].version == f"{others[0]}.1"
    assert others[1] not in found


def test_named_ones_are_all_there_are(tmp_path):
    named = script(tmp_path, "python", claims("3.13.0"))
    assert list(interpreters.find([named])) == ["3.13"]
    assert list(interpreters.find([named, Path(sys.executable)])) == list(
        dict.fromkeys(["3.13", OWN])
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("exit 1", "does not run"),
        ("echo nonsense", "does not answer as a Python does"),
        ("true", "does not answer as a Python does"),
        (claims("3.11.1", "PyPy"), "is PyPy, not CPython"),
        (claims("3.10.4"), "is 3.10.4; the hub supports 3.11, 3.12, 3.13"),
        (claims("3.14.0"), "is 3.14.0; the hub supports"),
    ],
)
def test_named_ones_that_are_no_use_are_told(tmp_path, text, words):
    named = script(tmp_path, "python", text)
    with pytest.raises(OSError, match=words):
        interpreters.find([named])
    with pytest.raises(SandboxUnavailable, match=words):
        offer("bubblewrap", images=[], state_dir=tmp_path / "state", pythons=[named])


def test_one_that_is_missing_is_told(tmp_path):
    with pytest.raises(SandboxUnavailable, match="an interpreter cannot be used"):
        offer("bubblewrap", images=[], state_dir=tmp_path, pythons=[tmp_path / "python"])


def test_each_interpreter_that_there_is_runs_in_bubblewrap(tmp_path):
    found = offer("bubblewrap", images=[], state_dir=tmp_path)
    assert found.pythons[0] == OWN
    for python, version in found.versions.items():
        sandbox = found.sandbox(python)
        assert sandbox.python == version
        assert found.sandbox(python) is sandbox
        code = "import ssl, sqlite3, ctypes, sys; print('%d.%d' % sys.version_info[:2])"
        with sandbox.start(spec(code)) as running:
            said = b"".join(iter(running.receive, b"")).decode().strip()
            assert said == python, running.wait().stderr
    with pytest.raises(KeyError):
        found.sandbox("3.9")


@pytest.mark.docker
def test_each_image_is_offered_once(tmp_path):
    found = offer("docker", images=[IMAGE, IMAGE], state_dir=tmp_path)
    assert len(found.pythons) == 1
    assert found.default.python == found.versions[found.pythons[0]]


@pytest.mark.docker
def test_an_image_that_is_missing_is_told(tmp_path):
    with pytest.raises(SandboxUnavailable, match="no image 'practicum-sandbox:nowhere'"):
        offer("docker", images=[IMAGE, "practicum-sandbox:nowhere"], state_dir=tmp_path)
    with pytest.raises(SandboxUnavailable, match="set SANDBOX_IMAGES"):
        offer("docker", images=[], state_dir=tmp_path)


@pytest.fixture
def offers(state_dir, monkeypatch):
    """Says which Pythons there are; one real sandbox stands for each."""
    real = Bubblewrap(state_dir)
    asked: list[str] = []

    def make(python: str) -> Bubblewrap:
        asked.append(python)
        return real

    def run(*versions: str) -> list[str]:
        found = Offer("bubblewrap", {minor(version): version for version in versions}, make)
        monkeypatch.setattr(launching, "sandboxes", lambda: found)
        return asked

    return run


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("versions", "required", "locked", "chosen"),
    [
        (["3.11.7"], "", "", "3.11"),
        (["3.11.7", "3.12.1", "3.13.0"], "", "", "3.11"),
        (["3.11.7", "3.12.1", "3.13.0"], ">=3.11,<4", "", "3.11"),
        (["3.12.1", "3.11.7", "3.13.0"], ">=3.11", "", "3.12"),  # the default, not the newest
        (["3.11.7", "3.12.1", "3.13.0"], ">=3.12", "", "3.13"),  # else the newest
        (["3.11.7", "3.13.0", "3.12.1"], "<3.13,>=3.12", "", "3.12"),
        (["3.11.7", "3.12.1"], ">=3.12.1", "", "3.12"),  # the whole version counts
        (["3.11.7", "3.12.1", "3.13.0"], ">=3.11", "3.12", "3.12"),  # as it was locked
        (["3.11.7", "3.13.0"], ">=3.11", "3.12", "3.11"),  # which is gone
        (["3.11.7", "3.12.1", "3.13.0"], ">=3.13", "3.12", "3.13"),  # which does not fit
    ],
)
def test_a_version_gets_the_python_it_asks_for(offers, versions, required, locked, chosen):
    asked = offers(*versions)
    launching.runtime(make_version(requires_python=required, python=locked))
    assert asked[-1] == chosen


@pytest.mark.django_db
@pytest.mark.parametrize("required", ["<3.11", ">=3.14", "==3.12.9", ">=4"])
def test_a_python_that_is_not_offered_is_the_versions_fault(offers, required):
    offers("3.11.7", "3.12.1")
    with pytest.raises(EnvironmentFault, match=r"this hub offers 3\.11, 3\.12\. Change requires"):
        launching.runtime(make_version(requires_python=required))


@pytest.mark.django_db
def test_a_sandbox_that_does_not_run_is_the_platforms_fault(state_dir, monkeypatch):
    real = Bubblewrap(state_dir)

    def make(python: str) -> Bubblewrap:
        if python == OWN:
            return real
        raise SandboxUnavailable("broken")

    other = "3.13" if OWN != "3.13" else "3.12"
    found = Offer("bubblewrap", {OWN: f"{OWN}.1", other: f"{other}.1"}, make)
    monkeypatch.setattr(launching, "sandboxes", lambda: found)
    with pytest.raises(PlatformFault, match=f"no sandbox with Python {other}"):
        launching.runtime(make_version(requires_python=f"=={other}.*"))
