"""Data that a version declares, and what is said about it when it is wrong."""

import pytest
from reading import problems, project

from environments.manifest import BadManifest, Manifest
from environments.manifest.data import clashing, inner_path

DIGEST = "ab" * 32


def manifest(lines: str) -> Manifest:
    return project(hub=f'entry = "tiny_env.core:make"\n{lines}')


def entry(**changed: str) -> str:
    fields = {"url": "https://example.org/words.txt", "sha256": DIGEST, "path": "words.txt"}
    lines = [f"{key} = {value!r}" for key, value in (fields | changed).items() if value]
    return "\n".join(["[[tool.practicum.data]]", *lines])


def test_declared_files_and_a_step() -> None:
    step = "prepare = 'tiny_env.core:make'"
    found = manifest(f"{step}\n{entry()}\n{entry(path='a/b', sha256=DIGEST.upper())}")
    assert found.prepare == "tiny_env.core:make"
    url = "https://example.org/words.txt"
    assert found.data == (
        {"url": url, "sha256": DIGEST, "path": "words.txt"},
        {"url": url, "sha256": DIGEST, "path": "a/b"},
    )


BAD = {
    "data = 1": ("data", "must be a list"),
    "data = ['words.txt']": ("data[0]", "a table with the keys url, sha256, path"),
    entry(path=""): ("data[0]", "a table with the keys url, sha256, path"),
    entry(more="x"): ("data[0]", "and no others"),
    entry(url="ftp://example.org/x"): ("data[0]", "as in 'https://"),
    entry(url="words.txt"): ("data[0]", "as in 'https://"),
    entry(url="https://me:secret@example.org/x"): ("data[0]", "with no password"),
    entry(url="https://example.org/x#y"): ("data[0]", "as in 'https://"),
    entry(url="https://example.org/a b"): ("data[0]", "as in 'https://"),
    entry(url="https://example.org:99999/"): ("data[0]", "as in 'https://"),
    entry(url="https://exämple.org/"): ("data[0]", "as in 'https://"),
    entry(url="https://example.org/" + "x" * 2000): ("data[0]", "at most 2000"),
    entry(sha256="ab"): ("data[0]", "64 hexadecimal digits"),
    entry(sha256="g" * 64): ("data[0]", "64 hexadecimal digits"),
    entry(path="/etc/passwd"): ("data[0]", "must be relative"),
    entry(path="../x"): ("data[0]", "must be relative"),
    entry(path="a/../../x"): ("data[0]", "must be relative"),
    entry(path="a//x"): ("data[0]", "must be relative"),
    entry(path="./x"): ("data[0]", "must be relative"),
    entry(path="a/"): ("data[0]", "must be relative"),
    entry(path="a\\b"): ("data[0]", "must be relative"),
    f"{entry()}\n{entry()}": ("data", "is the path of two files"),
    f"{entry(path='a')}\n{entry(path='a/b')}": ("data", "of a file and a folder"),
    f"{entry(path='a/b/c')}\n{entry(path='a/b')}": ("data", "of a file and a folder"),
    "\n".join(entry(path=f"f{number}") for number in range(101)): ("data", "at most 100"),
    "prepare = 'tiny_env.core'": ("prepare", "as in 'package.module:make'"),
    "prepare = 'tiny_env.core:nothing'": ("prepare", "does not define 'nothing'"),
    "prepare = 'elsewhere:make'": ("prepare", "There is no module 'elsewhere'"),
}


@pytest.mark.parametrize("lines", BAD)
def test_bad_data(lines: str) -> None:
    field, message = BAD[lines]
    with pytest.raises(BadManifest) as caught:
        manifest(lines)
    assert message in problems(caught)[f"tool.practicum.{field}"]
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    "path",
    [
        "",
        "a\0b",
        "a\nb",
        "a\u202eb",
        "\udcff",
        "x" * 256,
        "é" * 128,
        "/".join("a" * 21),
        "a/" * 200,
    ],
)
def test_paths_that_a_file_system_or_a_reader_would_mind(path: str) -> None:
    with pytest.raises(ValueError, match="The path"):
        inner_path(path)


def test_paths_that_are_fine() -> None:
    for path in ("a", ".hidden/..x", "a b/c", "é", "/".join("a" * 20)):
        assert inner_path(path) == path
    assert clashing(["a/b", "a/c", "ab", "a.b"]) is None
