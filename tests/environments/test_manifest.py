"""What a version may say about itself, and what is said about it when it is wrong."""

import dataclasses

import pytest
from making import PROJECT, open_archive, plain_zip
from reading import problems, project, source

from environments.manifest import FORMATS, BadManifest, Manifest, read


def test_least() -> None:
    assert project() == Manifest(
        name="tiny", package="tiny", version="1", entry="tiny_env.core:make"
    )


FULL = """
[project]
name = "Tiny_Env"
version = "1.0.0-rc1"
description = "Counts letters"
readme = "README.md"
license = "mit or apache-2.0"
requires-python = ">=3.11, <3.14"
dependencies = ["numpy >= 2", "scipy; python_version < '3.13'"]
authors = [{name = "Ada", email = "ada@example.org"}, {name = "Bo"}, {email = "c@example.org"}]
keywords = ["rl"]
urls = {Source = "https://example.org/tiny"}

[tool.practicum]
entry = "tiny_env.core:make"
format = "gymnasium"
args = {size = 3, words = ["a", "b"], deep = {x = 1.5, on = true}}
pass_threshold = 0.5
reward_range = [-1, 1]
max_turns = 20
tags = ["letters", "two-words"]
domains = ["language"]
strategies = ["enumeration", "backtracking"]
min_memory_mb = 256

[tool.other]
anything = 1
"""


def test_full() -> None:
    assert source(FULL) == Manifest(
        name="tiny-env",
        package="tiny-env",
        version="1.0.0rc1",
        summary="Counts letters",
        readme="# Tiny\n",
        readme_type="text/markdown",
        license="MIT OR Apache-2.0",
        requires_python="<3.14,>=3.11",
        dependencies=("numpy>=2", 'scipy; python_version < "3.13"'),
        entry="tiny_env.core:make",
        format="gymnasium",
        args={"size": 3, "words": ["a", "b"], "deep": {"x": 1.5, "on": True}},
        pass_threshold=0.5,
        reward_range=(-1.0, 1.0),
        max_turns=20,
        tags=("letters", "two-words"),
        domains=("language",),
        strategies=("enumeration", "backtracking"),
        min_memory_mb=256,
        import_paths=("",),
        authors=("Ada <ada@example.org>", "Bo", "c@example.org"),
        urls={"Source": "https://example.org/tiny"},
    )


def test_manifest_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        project().name = "other"  # type: ignore[misc]


def test_every_problem_at_once() -> None:
    toml = """
[project]
name = "-bad-"
version = "one"
requires-python = "3"
dependencies = ["numpy >", "pip @ https://example.org/pip.whl", "scipy"]
[tool.practicum]
entri = "a:b"
format = "atari"
max_turns = 0
"""
    with pytest.raises(BadManifest) as caught:
        source(toml)
    assert set(problems(caught)) == {
        "project.name",
        "project.version",
        "project.requires-python",
        "project.dependencies[0]",
        "project.dependencies[1]",
        "tool.practicum.entri",
        "tool.practicum.entry",
        "tool.practicum.format",
        "tool.practicum.max_turns",
    }
    assert "did you mean 'entry'?" in problems(caught)["tool.practicum.entri"]


BAD_PROJECT = {
    'dynamic = ["version"]': ("dynamic", "Write `version` out"),
    'dynamic = ["dependencies"]': ("dynamic", "Write `dependencies` out"),
    'requires_python = ">=3.11"': ("requires_python", "did you mean 'requires-python'?"),
    'dependencies = "numpy"': ("dependencies", "must be a list"),
    "dependencies = [1]": ("dependencies[0]", "must be a string"),
    'dependencies = ["./local"]': ("dependencies[0]", "is no requirement"),
    'dependencies = ["git+https://example.org/x"]': ("dependencies[0]", "is no requirement"),
    'dependencies = ["x @ git+https://example.org/x"]': ("dependencies[0]", "from an address"),
    'dependencies = ["x @ file:///etc/passwd"]': ("dependencies[0]", "from an address"),
    f"dependencies = {['x'] * 201}": ("dependencies", "at most 200"),
    f"""dependencies = ["x; {"(" * 400}"]""": ("dependencies[0]", "is no requirement"),
    'description = "a\\nb"': ("description", "one line"),
    f'description = "{"x" * 513}"': ("description", "513 characters"),
    'readme = "docs/no.md"': ("readme", "no file 'docs/no.md'"),
    'readme = "pyproject.toml"': ("readme", "must end in .md, .rst, .txt"),
    "readme = 1": ("readme", "must be a string"),
    'readme = {file = "README.md", text = "x"}': ("readme", "exactly one"),
    'readme = {text = "x", content-type = "text/html"}': ("readme", "content-type must be"),
    'readme = {text = "\\u0000"}': ("readme", "NUL"),
    'license = "My own"': ("license", "no SPDX expression"),
    f'license = "{"(" * 190}MIT"': ("license", "no SPDX expression"),
    'license = {file = "COPYING"}': ("license", "no file 'COPYING'"),
    "license = {}": ("license", "exactly one"),
    'authors = ["Ada"]': ("authors[0]", "as in {name"),
    'urls = {x = "javascript:alert(1)"}': ("urls", "no http or https address"),
    'urls = {x = "https://[::1"}': ("urls", "Invalid IPv6"),
    'urls = "x"': ("urls", "must be a table"),
}


@pytest.mark.parametrize("line", BAD_PROJECT)
def test_bad_project(line: str) -> None:
    field, message = BAD_PROJECT[line]
    with pytest.raises(BadManifest) as caught:
        project(line)
    assert message in problems(caught)[f"project.{field}"]
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize("version", ["1.0+local", "abc", "", "1.0.*", "9" * 65])
def test_bad_version(version: str) -> None:
    with pytest.raises(BadManifest) as caught:
        source(PROJECT["pyproject.toml"].replace(b'"1.0"', f'"{version}"'.encode()))
    assert list(problems(caught)) == ["project.version"]


@pytest.mark.parametrize("key", ["name", "version"])
def test_name_and_version_are_needed(key: str) -> None:
    lines = PROJECT["pyproject.toml"].decode().splitlines()
    with pytest.raises(BadManifest) as caught:
        source("\n".join(line for line in lines if not line.startswith(key)))
    assert list(problems(caught)) == [f"project.{key}"]


HUB = 'entry = "tiny_env.core:make"\n'

BAD_HUB = {
    "entry = 1": ("entry", "must be a string"),
    'entry = "tiny_env.core"': ("entry", "as in 'package.module:make'"),
    'entry = "tiny_env.core:make()"': ("entry", "as in 'package.module:make'"),
    'entry = "../tiny:make"': ("entry", "as in 'package.module:make'"),
    'entry = "tiny_env/core:make"': ("entry", "as in 'package.module:make'"),
    'entry = "tiny_env.cor:make"': ("entry", "tiny_env/cor/__init__.py, tiny_env/cor.py"),
    'entry = "json:loads"': ("entry", "module of Python's own"),
    'entry = "tiny_env.core:maker"': ("entry", "did you mean 'make'?"),
    'entry = "tiny_env:make"': ("entry", "it defines nothing"),
    HUB + 'format = "verifiers"': (
        "format",
        "one of reasoning-gym, verifiers-v0, verifiers-v1, gem",
    ),
    HUB + "args = [1]": ("args", "must be a table"),
    HUB + "args = {when = 2024-01-01}": ("args", "no equivalent in JSON"),
    HUB + "args = {x = nan}": ("args", "finite"),
    HUB + "args = {x = -inf}": ("args", "finite"),
    HUB + "args = {x = 9007199254740992}": ("args", "below 2**53"),
    HUB + 'args = {"not a name" = 1}': ("args", "name of an argument"),
    HUB + f"args = {{x = {'[' * 9 + ']' * 9}}}": ("args", "over 8 deep"),
    HUB + f"args = {{x = {[1] * 2000}}}": ("args", "more than 2000 values"),
    HUB + f'args = {{x = "{"x" * 10_001}"}}': ("args", "10000 characters"),
    HUB + "pass_threshold = true": ("pass_threshold", "must be a number"),
    HUB + 'pass_threshold = "1"': ("pass_threshold", "must be a number"),
    HUB + "pass_threshold = 1.5": ("pass_threshold", "outside reward_range [0, 1]"),
    HUB + "reward_range = [-1, 0]": ("pass_threshold", "outside reward_range [-1, 0]"),
    HUB + "reward_range = [1, 1]": ("reward_range", "must be below"),
    HUB + "reward_range = [1, 0]": ("reward_range", "must be below"),
    HUB + "reward_range = [0, inf]": ("reward_range", "finite"),
    HUB + "reward_range = [0, 1, 2]": ("reward_range", "[lowest, highest]"),
    HUB + "reward_range = 1": ("reward_range", "[lowest, highest]"),
    HUB + "max_turns = 257": ("max_turns", "from 1 to 256"),
    HUB + "max_turns = true": ("max_turns", "from 1 to 256"),
    HUB + "max_turns = 2.0": ("max_turns", "from 1 to 256"),
    HUB + "min_memory_mb = 1": ("min_memory_mb", "from 16 to 65536"),
    HUB + 'tags = "x"': ("tags", "must be a list"),
    HUB + 'tags = ["Upper"]': ("tags[0]", "must be lowercase"),
    HUB + 'tags = ["ok", "two words"]': ("tags[1]", "must be lowercase"),
    HUB + 'tags = ["-x"]': ("tags[0]", "must be lowercase"),
    HUB + 'tags = ["a", "a"]': ("tags", "lists a twice"),
    HUB + f"tags = {[f't{n}' for n in range(21)]}": ("tags", "at most 20"),
    HUB + f"domains = {[f't{n}' for n in range(11)]}": ("domains", "at most 10"),
    HUB + f"strategies = {[f't{n}' for n in range(11)]}": ("strategies", "at most 10"),
    HUB + "stratgies = []": ("stratgies", "did you mean 'strategies'?"),
    HUB + "zzz = 1": ("zzz", "known are entry, format, args"),
}


@pytest.mark.parametrize("lines", BAD_HUB)
def test_bad_hub_settings(lines: str) -> None:
    field, message = BAD_HUB[lines]
    with pytest.raises(BadManifest) as caught:
        project(hub=lines)
    assert message in problems(caught)[f"tool.practicum.{field}"]
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize("form", FORMATS)
def test_formats(form: str) -> None:
    assert project(hub=HUB + f'format = "{form}"').format == form


@pytest.mark.parametrize(
    ("toml", "field", "message"),
    [
        ("[project", "pyproject.toml", "not valid TOML"),
        (b"\xff", "pyproject.toml", "not UTF-8"),
        ("x = " + "[" * 20_000, "pyproject.toml", "nested too deeply"),
        ("#" * 300_000, "pyproject.toml", "256 KiB"),
        (".".join("a" * 100_000) + " = 1", "pyproject.toml", "more than twenty parts"),
        ("x = {" + " . ".join(["'a.b'", '"c\\".d"', "e"] * 7) + "=1}", "pyproject.toml", "twenty"),
        ("x = 1", "project", "no [project] table"),
        ("project = 1", "project", "no [project] table"),
        ('[project]\nname="a"\nversion="1"', "tool.practicum.entry", "Say what makes"),
        ('tool = 1\n[project]\nname="a"\nversion="1"', "tool.practicum.entry", "Say what makes"),
    ],
)
def test_bad_file(toml: str | bytes, field: str, message: str) -> None:
    with pytest.raises(BadManifest) as caught:
        source(toml)
    assert message in problems(caught)[field]


def test_dots_elsewhere_are_welcome() -> None:
    prose = "It ends here... or there. See a.b.c. " * 50
    nineteen = ".".join("a" * 19)
    toml = f'args = {{x = {[1.5] * 50}, y = "{prose}"}}\nreward_range = [0.0, 1.0]'
    assert project(hub=HUB + toml).args == {"x": [1.5] * 50, "y": prose}
    with pytest.raises(BadManifest, match="over 8 deep"):
        project(hub=f"{HUB}args.{nineteen} = 1")


def test_no_pyproject() -> None:
    with pytest.raises(BadManifest) as caught:
        read(open_archive(plain_zip({"setup.py": b"", "p/a.py": b""}), "e.zip"))
    assert "Add one" in problems(caught)["pyproject.toml"]
    nested = {"README.md": b"", "tiny/pyproject.toml": b""}
    with pytest.raises(BadManifest) as caught:
        read(open_archive(plain_zip(nested), "e.zip"))
    assert "tiny/pyproject.toml" in problems(caught)["pyproject.toml"]


class TestReadmeAndLicense:
    def test_kinds(self) -> None:
        manifest = project('readme = "a.rst"', **{"a.rst": b"\xef\xbb\xbfHi"})
        assert (manifest.readme, manifest.readme_type) == ("Hi", "text/x-rst")
        manifest = project('readme = {file = "a.txt"}', **{"a.txt": b"Hi"})
        assert (manifest.readme, manifest.readme_type) == ("Hi", "text/plain")
        typed = 'readme = {text = "*Hi*", content-type = "text/markdown; charset=UTF-8"}'
        assert project(typed).readme_type == "text/markdown"

    @pytest.mark.parametrize(
        ("data", "message"), [(b"\xff", "not UTF-8"), (b"x" * 524_289, "512 KiB")]
    )
    def test_bad(self, data: bytes, message: str) -> None:
        with pytest.raises(BadManifest) as caught:
            project('readme = "README.md"', **{"README.md": data})
        assert message in problems(caught)["project.readme"]

    def test_largest(self) -> None:
        manifest = project('readme = "README.md"', **{"README.md": b"x" * 524_288})
        assert len(manifest.readme) == 524_288

    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            ('license = {text = "MIT"}', "MIT"),
            ('license = {text = "\\nDo as you like.\\nReally."}', "Do as you like."),
            ('license = {file = "README.md"}', "See README.md"),
            ('license = "LicenseRef-Own"', "LicenseRef-Own"),
            ('classifiers = ["License :: OSI Approved :: MIT License", "A :: B"]', "MIT License"),
            ('license = "MIT"\nclassifiers = ["License :: Public Domain"]', "MIT"),
            ("", ""),
        ],
    )
    def test_license(self, line: str, expected: str) -> None:
        assert project(line).license == expected
