"""What an upload is, told by its files: the projects are as users of each library write them."""

import pytest
from making import INFO, WHEEL_FILES, WHEEL_NAME, open_archive, plain_tar, wheel
from reading import problems

from environments.manifest import FORMATS, BadManifest, Manifest, pins, read
from environments.manifest.formats import LIBRARIES

# As `vf-init` of 0.3.1 leaves it.
V0 = """[project]
name = "word-count"
description = "Your environment description here"
tags = ["placeholder-tag", "train", "eval"]
version = "0.1.0"
requires-python = ">=3.10"
dependencies = ["verifiers>=0.3.1"]

[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[tool.hatch.build]
include = ["word_count.py", "pyproject.toml"]

[tool.verifiers.eval]
num_examples = 5
"""
V0_CODE = """import verifiers as vf


def load_environment(**kwargs) -> vf.Environment:
    return vf.SingleTurnEnv(**kwargs)
"""

# As `init` of 0.4.0 leaves it.
V1 = """[project]
name = "word-count"
version = "0.1.0"
requires-python = ">=3.11"
dependencies = ["verifiers"]
"""
V1_INIT = """from word_count.harness import WordCountHarness
from word_count.taskset import WordCountTaskset

__all__ = ["WordCountTaskset", "WordCountHarness"]
"""
V1_TASKSET = """import verifiers.v1 as vf


class WordCountTask(vf.Task[vf.TaskData]): ...


class WordCountConfig(vf.TasksetConfig): ...


class WordCountTaskset(vf.Taskset[WordCountTask, WordCountConfig]): ...
"""
V1_HARNESS = """import verifiers.v1 as vf


class WordCountHarness(vf.Harness[vf.HarnessConfig]): ...
"""
V1_FILES = {
    "word_count/__init__.py": V1_INIT,
    "word_count/taskset.py": V1_TASKSET,
    "word_count/harness.py": V1_HARNESS,
}

OPENENV = """[project]
name = "openenv-echo"
version = "0.1.0"
dependencies = ["openenv>=0.2.2"]
"""
OPENENV_YAML = """spec_version: 1
name: echo
type: space
runtime: fastapi
app: server.app:app
port: 8000
"""
OPENENV_FILES = {
    "openenv.yaml": OPENENV_YAML,
    "__init__.py": "",
    "models.py": "",
    "server/__init__.py": "",
    "server/app.py": "app = 1",
}

ENTRY = "tool.practicum.entry"


def plain(*dependencies: str, hub: str = "", name: str = "tiny") -> str:
    """A pyproject.toml with these dependencies and lines of [tool.practicum]."""
    head = f'[project]\nname = "{name}"\nversion = "1"\ndependencies = {list(dependencies)}\n'
    return f"{head}[tool.practicum]\n{hub}\n"


def source(toml: str, files: dict[str, str] | None = None) -> Manifest:
    packed = {"pyproject.toml": toml, "README.md": "# Hi", **(files or {})}
    data = {name: text.encode() for name, text in packed.items()}
    (found,) = read(open_archive(plain_tar(data, "tiny-1/"), "tiny-1.tar.gz"))
    return found


def made(found: Manifest) -> tuple[str | None, str, tuple[str, ...]]:
    return found.format, found.entry, found.import_paths


def refused(toml: str, files: dict[str, str] | None = None) -> dict[str, str]:
    with pytest.raises(BadManifest) as caught:
        source(toml, files)
    return problems(caught)


class TestVerifiers:
    def test_a_module_as_its_first_releases_scaffold_it(self) -> None:
        found = source(V0, {"word_count.py": V0_CODE})
        assert made(found) == ("verifiers-v0", "word_count:load_environment", ("",))
        assert found.tags == ("placeholder-tag", "train", "eval")

    @pytest.mark.parametrize(
        "code",
        [
            "from .env import load_environment",
            "from .env import make as load_environment",
            "from word_count.env import load_environment",
            "from .env import *",
            "try:\n    from .env import load_environment\nexcept ImportError:\n    raise",
        ],
    )
    @pytest.mark.parametrize("folder", ["", "src/"])
    def test_a_package_that_takes_it_from_a_module_of_its_own(self, code: str, folder: str) -> None:
        files = {f"{folder}word_count/__init__.py": code, f"{folder}word_count/env.py": V0_CODE}
        found = source(V0, files)
        paths = (folder.rstrip("/"),)
        assert made(found) == ("verifiers-v0", "word_count:load_environment", paths)

    def test_a_package_named_otherwise_than_the_project(self) -> None:
        files = {"tests/__init__.py": "", "setup.py": "", "counting/__init__.py": V0_CODE}
        assert source(V0, files).entry == "counting:load_environment"

    def test_one_of_several_packages_is_not_guessed_at(self) -> None:
        files = {"a/__init__.py": V0_CODE, "b/__init__.py": V0_CODE}
        assert "Say what makes" in refused(V0, files)[ENTRY]

    def test_an_entry_that_is_written_out(self) -> None:
        toml = plain("verifiers", hub='entry = "word_count.env:load_environment"')
        found = source(toml, {"word_count/env.py": V0_CODE})
        assert found.format == "verifiers-v0"

    def test_a_loader_of_another_library_is_left_to_the_run(self) -> None:
        toml = plain("numpy", hub='entry = "word_count:load_environment"')
        assert source(toml, {"word_count.py": V0_CODE}).format is None

    def test_a_taskset_as_later_releases_scaffold_it(self) -> None:
        found = source(V1, V1_FILES)
        assert made(found) == ("verifiers-v1", "word_count:WordCountTaskset", ("",))

    @pytest.mark.parametrize(
        ("init", "taskset"),
        [
            ("from .taskset import *\n__all__ = ['WordCountTaskset']", V1_TASKSET),
            ("from .taskset import X as Y\n__all__ = ('Y',)", "class X(Taskset): ..."),
            ("from .taskset import X\n__all__: list[str] = ['X']", "class X(a.b.Taskset): ..."),
            ("from .taskset import X\n__all__ = []\n__all__ += ['X']", "class X(Taskset): ..."),
            (
                "from .taskset import X\n__all__ = ['X']",
                "from .base import Base\nclass X(Base[int], Other): ...",
            ),
            (
                "from .taskset import X\n__all__ = ['X']",
                "from verifiers.v1.tasksets.textarena import TextArenaTaskset\n"
                "class X(TextArenaTaskset): ...",
            ),
        ],
    )
    def test_what_a_taskset_derives_from_is_followed(self, init: str, taskset: str) -> None:
        base = "class Middle(vf.Taskset): ...\nclass Base(Middle): ..."
        files = {"__init__": init, "taskset": taskset, "base": base}
        found = source(V1, {f"word_count/{name}.py": code for name, code in files.items()})
        assert found.format == "verifiers-v1"

    @pytest.mark.parametrize(
        "init",
        [
            "from .taskset import WordCountTaskset",
            "__all__ = ['WordCountTaskset']",
            "from .taskset import WordCountConfig\n__all__ = ['WordCountConfig']",
            "from .other import WordCountTaskset\n__all__ = ['WordCountTaskset']",
            "class A(B): ...\nclass B(A): ...\n__all__ = ['A']",
            "from . import *\n__all__ = ['A']",
        ],
    )
    def test_what_is_no_taskset_of_the_package(self, init: str) -> None:
        files = {"word_count/__init__.py": init, "word_count/taskset.py": V1_TASKSET}
        assert "one Taskset in its __all__" in refused(V1, files)[ENTRY]

    def test_two_tasksets_are_one_too_many(self) -> None:
        code = "class A(vf.Taskset): ...\nclass B(vf.Taskset): ...\n__all__ = ['A', 'B']"
        message = refused(V1, {"word_count.py": code})[ENTRY]
        assert "word_count.py has A and B in its __all__" in message
        assert 'entry = "word_count:A"' in message
        toml = plain("verifiers", hub='entry = "word_count:B"', name="word-count")
        assert made(source(toml, {"word_count.py": code}))[:2] == ("verifiers-v1", "word_count:B")

    def test_a_package_that_does_not_parse_is_told_as_such(self) -> None:
        message = refused(V0, {"word_count.py": "def load_environment(:"})[ENTRY]
        assert "word_count.py, line 1, does not parse" in message


class TestOpenEnv:
    def test_a_project_as_it_is_scaffolded(self) -> None:
        assert made(source(OPENENV, OPENENV_FILES)) == ("openenv", "server.app:app", ("",))

    def test_without_an_app_it_is_where_the_scaffold_puts_it(self) -> None:
        files = OPENENV_FILES | {"openenv.yaml": "name: echo"}
        assert source(OPENENV, files).entry == "server.app:app"

    def test_settings_may_stand_beside_it(self) -> None:
        found = source(f"{OPENENV}\n[tool.practicum]\nmax_turns = 3", OPENENV_FILES)
        assert (found.format, found.max_turns) == ("openenv", 3)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("app: [", "not valid YAML"),
            ("a: 1\n---\nb: 2", "not valid YAML"),
            ("app: \x00", "not valid YAML"),
            ("[" * 60_000, "not valid YAML"),
            ("- app", "no mapping"),
            ("", "no mapping"),
            ("app: server/app.py", "app is 'server/app.py'"),
            ("app: [server.app]", "app is ['server.app']"),
            ("app: server.main:app", "no module 'server.main'"),
            ("app: server.app:api", "does not define 'api'"),
            ("#" * 70_000, "64 KiB"),
        ],
    )
    def test_a_file_that_cannot_be_used(self, text: str, message: str) -> None:
        assert message in refused(OPENENV, OPENENV_FILES | {"openenv.yaml": text})[ENTRY]

    def test_a_wheel_of_it_may_leave_the_package_out(self) -> None:
        files = {"tiny_env/practicum.toml": None, "tiny_env/core.py": None}
        files |= {f"tiny_env/{name}": text.encode() for name, text in OPENENV_FILES.items()}
        (found,) = read(open_archive(wheel(files), WHEEL_NAME))
        assert made(found) == ("openenv", "tiny_env.server.app:app", ("",))


class TestLibraries:
    @pytest.mark.parametrize("library", LIBRARIES, ids=lambda one: one.name)
    @pytest.mark.parametrize(
        "said", ["", "entry = '{0.entry}'\n", "format = '{0.name}'\n"], ids=["", "entry", "format"]
    )
    def test_one_among_the_dependencies_makes_it(self, library, said: str) -> None:
        dependency = f"{library.package.replace('-', '_').upper()}>=0.1"
        toml = plain("numpy", dependency, hub=said.format(library) + "args = {id = 'x'}")
        assert made(source(toml)) == (library.name, library.entry, ("",))

    def test_the_import_path_is_still_the_projects(self) -> None:
        toml = plain("textarena", hub="args = {env_id = 'Mine-v0'}")
        assert source(toml, {"src/mine.py": ""}).import_paths == ("src",)

    def test_it_has_to_know_what_to_make(self) -> None:
        assert "Write its arguments as args" in refused(plain("gymnasium"))[ENTRY]

    def test_two_are_one_too_many(self) -> None:
        toml = plain("gymnasium", "textarena==0.7.4", hub="args = {id = 'x'}")
        message = refused(toml)[ENTRY]
        assert "gymnasium and textarena" in message
        assert "format =" in message
        said = plain("gymnasium", "textarena==0.7.4", hub="format='textarena'\nargs={id='x'}")
        assert source(said).entry == "textarena:make"

    @pytest.mark.parametrize(
        "hub", ["entry = 'textarena:make'", "format = 'textarena'\nargs = {env_id = 'x'}"]
    )
    def test_one_that_nothing_brings_is_asked_for(self, hub: str) -> None:
        message = refused(plain("numpy", hub=hub))[ENTRY]
        assert "textarena, which is not among the dependencies" in message

    def test_a_package_of_the_same_name_is_the_projects_own(self) -> None:
        toml = plain(hub="entry = 'gem:make'", name="gem")
        assert made(source(toml, {"gem.py": "def make(): ..."}))[0] is None


class TestFormat:
    @pytest.mark.parametrize("form", FORMATS)
    def test_written_out_it_wins(self, form: str) -> None:
        toml = plain("verifiers", hub=f"entry = 'tiny:load_environment'\nformat = '{form}'")
        assert source(toml, {"tiny.py": V0_CODE} | OPENENV_FILES).format == form

    @pytest.mark.parametrize(
        ("form", "message"),
        [
            ("verifiers-v0", "The package tiny has no load_environment"),
            ("verifiers-v1", "The package tiny has no Taskset in its __all__"),
            ("openenv", "no openenv.yaml"),
            ("dataset", "Of the format dataset nothing"),
        ],
    )
    def test_written_out_without_what_it_needs(self, form: str, message: str) -> None:
        found = refused(plain(hub=f"format = '{form}'"), {"tiny.py": "x = 1"})[ENTRY]
        assert message in found
        assert "or write entry =" in found

    def test_every_way_is_named_where_there_is_none(self) -> None:
        message = refused(plain("numpy"), {"tiny.py": ""})[ENTRY]
        for way in ("[tool.practicum]", "load_environment", "__all__", "openenv.yaml", "gem-llm"):
            assert way in message

    def test_what_each_release_of_verifiers_needs_is_pinned(self) -> None:
        assert pins("verifiers-v0") == ("verifiers<0.4",)
        assert pins("verifiers-v1") == ("verifiers>=0.4",)
        assert pins("gymnasium") == pins("") == ()


class TestWheel:
    METADATA = f"{INFO}/METADATA"

    def read(self, files: dict[str, str]) -> Manifest:
        needs = WHEEL_FILES[self.METADATA].replace(b"numpy>=2", b"verifiers")
        changes = {"tiny_env/practicum.toml": None, self.METADATA: needs}
        changes |= {name: text.encode() for name, text in files.items()}
        (found,) = read(open_archive(wheel(changes), WHEEL_NAME))
        return found

    def test_a_package_with_a_loader(self) -> None:
        found = self.read({"tiny_env/__init__.py": V0_CODE})
        assert made(found) == ("verifiers-v0", "tiny_env:load_environment", ("",))

    def test_a_package_with_a_taskset(self) -> None:
        code = V1_TASKSET + "__all__ = ['WordCountTaskset']"
        found = self.read({"tiny_env/__init__.py": code})
        assert made(found)[:2] == ("verifiers-v1", "tiny_env:WordCountTaskset")


def test_reading_is_bounded() -> None:
    """A chain of imports, a circle of stars, more source than is worth reading."""
    chain = {f"p{n}.py": f"from p{n + 1} import *\nfrom p{n // 2} import *" for n in range(500)}
    init = {"tiny.py": "from p0 import *\nfrom p0 import A\n__all__ = ['A']"}
    assert "Say what makes" in refused(plain("verifiers"), chain | init)[ENTRY]
    large = "#" * 500_000
    heavy = {f"p{n}.py": f"from p{n + 1} import *\n{large}" for n in range(6)}
    assert "one module too many" in refused(plain("verifiers"), heavy | init)[ENTRY]
