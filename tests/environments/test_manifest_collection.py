"""Several environments of one package: what each takes over, and every problem of every one."""

import pytest
from making import WHEEL_NAME, open_archive, plain_tar, wheel
from reading import problems

from environments.manifest import BadManifest, Manifest, read

PROJECT = """[project]
name = "Logic.Set"
version = "0.1.0"
description = "Puzzles"
readme = "README.md"
dependencies = ["reasoning-gym==0.1.25"]
"""
SHARED = """[tool.practicum]
args = {seed = 7, size = 100}
max_turns = 1
reward_range = [0.0, 2.0]
pass_threshold = 2.0
domains = ["logic"]
tags = ["procedural"]
"""
TWO = """
[[tool.practicum.environments]]
name = "zebra"
summary = "Who owns the zebra"
args = {name = "zebra_puzzles", size = 50}
tags = []

[[tool.practicum.environments]]
name = "knights-and-knaves"
args = {name = "knights_knaves"}
pass_threshold = 1.0
max_turns = 3
domains = ["logic", "language"]
"""


def both(toml: str, **files: bytes) -> tuple[Manifest, ...]:
    data = {"pyproject.toml": toml.encode(), "README.md": b"# Puzzles\n"} | files
    return read(open_archive(plain_tar(data, "logic-0.1/"), "logic-0.1.tar.gz"))


def refused(toml: str, **files: bytes) -> dict[str, str]:
    with pytest.raises(BadManifest) as caught:
        both(toml, **files)
    return problems(caught)


def test_what_an_environment_does_not_say_is_as_the_package_has_it() -> None:
    zebra, knights = both(PROJECT + SHARED + TWO)
    shared = {
        "package": "logic-set",
        "version": "0.1.0",
        "readme": "# Puzzles\n",
        "readme_type": "text/markdown",
        "dependencies": ("reasoning-gym==0.1.25",),
        "entry": "reasoning_gym:create_dataset",
        "format": "reasoning-gym",
        "reward_range": (0.0, 2.0),
    }
    assert zebra == Manifest(
        name="zebra",
        summary="Who owns the zebra",
        args={"seed": 7, "size": 50, "name": "zebra_puzzles"},
        pass_threshold=2.0,
        max_turns=1,
        domains=("logic",),
        **shared,
    )
    assert knights == Manifest(
        name="knights-and-knaves",
        summary="Puzzles",
        args={"seed": 7, "size": 100, "name": "knights_knaves"},
        pass_threshold=1.0,
        max_turns=3,
        domains=("logic", "language"),
        tags=("procedural",),
        **shared,
    )


def test_each_may_have_an_entry_and_a_format_of_its_own() -> None:
    toml = f"""{PROJECT}
[tool.practicum]
entry = "logic_set:make"

[[tool.practicum.environments]]
name = "own"

[[tool.practicum.environments]]
name = "other"
entry = "logic_set.deep:make"
format = "gymnasium"
"""
    code = b"def make(): ...\n"
    found = both(toml, **{"src/logic_set/__init__.py": code, "src/logic_set/deep.py": code})
    assert [(one.entry, one.format) for one in found] == [
        ("logic_set:make", None),
        ("logic_set.deep:make", "gymnasium"),
    ]
    assert {one.import_paths for one in found} == {("src",)}


def test_without_the_list_there_is_one_by_the_projects_name() -> None:
    (found,) = both(PROJECT + SHARED.replace("size", "name"))
    assert (found.name, found.package, found.summary) == ("logic-set", "logic-set", "Puzzles")


def test_a_wheel_lists_them_in_its_practicum_toml() -> None:
    table = b'entry = "tiny_env.core:make"\n[[environments]]\nname = "a"\n[[environments]]\n'
    listed = table + b'name = "b"\nargs = {hard = true}\n'
    found = read(open_archive(wheel({"tiny_env/practicum.toml": listed}), WHEEL_NAME))
    assert [(one.name, one.package, one.args) for one in found] == [
        ("a", "tiny-env", {}),
        ("b", "tiny-env", {"hard": True}),
    ]
    with pytest.raises(BadManifest) as caught:
        read(open_archive(wheel({"tiny_env/practicum.toml": table + b"args = 1"}), WHEEL_NAME))
    assert set(problems(caught)) == {
        "practicum.toml environments[1].name",
        "practicum.toml environments[1].args",
    }


def test_every_problem_of_every_one_is_told_with_its_place() -> None:
    toml = f"""{PROJECT}
[tool.practicum]
max_turns = 0

[[tool.practicum.environments]]
name = "Bad Name"
args = {{when = 2024-01-01}}

[[tool.practicum.environments]]
name = "same"
pass_treshold = 1

[[tool.practicum.environments]]
name = "same"
entry = "nowhere:make"
pass_threshold = 3
environments = []

[[tool.practicum.environments]]
args = {{name = "x"}}
max_turns = 300
entry = "nowhere"
"""
    found = refused(toml)
    field = "tool.practicum.environments[{}].{}".format
    assert set(found) == {
        "tool.practicum.max_turns",
        field(0, "name"),
        field(0, "args"),
        field(0, "entry"),
        field(1, "pass_treshold"),
        field(1, "entry"),
        field(2, "name"),
        field(2, "entry"),
        field(2, "pass_threshold"),
        field(2, "environments"),
        field(3, "name"),
        field(3, "max_turns"),
        field(3, "entry"),
    }
    assert "tool.practicum.environments[1].name too" in found[field(2, "name")]
    assert "did you mean 'pass_threshold'?" in found[field(1, "pass_treshold")]
    assert "no module 'nowhere'" in found[field(2, "entry")]
    assert "It is missing" in found[field(3, "name")]


@pytest.mark.parametrize(
    ("listed", "field", "message"),
    [
        ("environments = []", "environments", "array of tables"),
        ("environments = 1", "environments", "array of tables"),
        ("environments = {name = 'a'}", "environments", "array of tables"),
        ("environments = ['a']", "environments[0]", "must be a table"),
        (f"environments = {[{}] * 201}".replace(":", "="), "environments", "There are 201"),
    ],
)
def test_what_is_no_list_of_environments(listed: str, field: str, message: str) -> None:
    found = refused(f"{PROJECT}[tool.practicum]\n{listed}\n")
    assert message in found[f"tool.practicum.{field}"]


def many(count: int) -> str:
    tables = (
        f"[[tool.practicum.environments]]\nname = 'n{at}'\nargs = {{name = 'd{at}'}}\n"
        for at in range(count)
    )
    return PROJECT + "".join(tables)


def test_two_hundred_are_taken() -> None:
    found = both(many(200))
    assert [one.args["name"] for one in found] == [f"d{at}" for at in range(200)]


def test_what_is_kept_with_each_is_bounded_in_all() -> None:
    readme = b"x" * 90_000
    assert len(both(many(180), **{"README.md": readme})) == 180
    found = refused(many(200), **{"README.md": readme})
    assert "more than 16 MiB" in found["tool.practicum.environments"]


def test_a_module_is_read_once_however_many_environments_it_makes() -> None:
    """Two hundred looks at half a mebibyte of code would keep a worker busy for minutes."""
    toml = many(200).replace("args", "entry = 'big:make'\nargs")
    code = b"def make(): ...\n" + b"x = 1\n" * 80_000
    assert len(both(toml, **{"big.py": code})) == 200
