"""What importing modules needs, found without running any of it."""

import importlib
import marshal
import subprocess
import sys
from importlib.util import MAGIC_NUMBER
from pathlib import Path

import pytest

from graders.builder.following import MAX_SOURCE, Follower


@pytest.fixture
def follow(tmp_path):
    """The sources that a module needs, in order, out of files below two paths."""

    def run(files: dict[str, str | bytes], *modules: str) -> list[str]:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        follower = Follower([str(tmp_path / "own"), str(tmp_path / "site")])
        for module in modules or ("env",):
            follower.want(module)
        return [str(Path(path).relative_to(tmp_path)) for path, _ in follower.sources()]

    return run


PACKAGE = {"site/lib/__init__.py": "", "site/lib/part.py": "", "site/lib/deep/__init__.py": ""}
PACKAGE |= {"site/lib/deep/down.py": "", "site/other.py": ""}
# More constants and names than one byte can count.
MANY = "".join(f"a{n} = {n}.5\n" for n in range(300))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import lib", ["lib/__init__"]),
        ("import lib.part as p, other", ["lib/__init__", "lib/part", "other"]),
        ("from lib import part, name", ["lib/__init__", "lib/part"]),
        ("from lib import *", ["lib/__init__"]),
        ("from lib.deep.down import name", ["lib/__init__", "lib/deep/__init__", "lib/deep/down"]),
        ("if x:\n  import lib\nelse:\n  import other", ["lib/__init__", "other"]),
        ("try:\n  import lib\nexcept ImportError:\n  import other", ["lib/__init__", "other"]),
        ("with x:\n  import lib", ["lib/__init__"]),
        ("for x in y:\n  import lib", ["lib/__init__"]),
        ("class A:\n  class B:\n    import lib", ["lib/__init__"]),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n  import lib", ["lib/__init__"]),
        ("def f():\n  import lib", []),
        ("f = lambda: __import__('lib')", []),
        ("import importlib; importlib.import_module('lib')", []),
        ("import nothing.at\nfrom lib.none import x\nimport other.x", ["lib/__init__", "other"]),
        ("import json, sys, os.path", []),
        (f"{MANY}from lib import part", ["lib/__init__", "lib/part"]),
        ("import env, env", []),
    ],
)  # fmt: skip
def test_import_instructions(follow, text, found):
    assert follow(PACKAGE | {"own/env.py": text}) == [
        "own/env.py",
        *(f"site/{x}.py" for x in found),
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("from . import b", ["p/b"]),
        ("from .b import c", ["p/b"]),
        ("from .. import top", ["top"]),
        ("from ..top import x", ["top"]),
        ("from ... import top", []),
        ("from .......top import x", []),
    ],
)
def test_relative_imports(follow, text, found):
    """What lies above a top-level package is beside it."""
    files = {"own/p/__init__.py": "", "own/p/a.py": text, "own/p/b.py": "", "own/top.py": ""}
    assert follow(files, "p.a") == [
        "own/p/__init__.py",
        "own/p/a.py",
        *(f"own/{x}.py" for x in found),
    ]


def test_the_first_path_has_it_and_the_standard_library_before_all(follow):
    files = {
        "own/env.py": "import lib, json, space.a, space.b",
        "own/lib.py": "",
        "site/lib.py": "",
    }
    files |= {"own/json.py": "", "own/space/a.py": "", "site/space/b.py": ""}
    found = follow(files)
    assert sorted(found) == ["own/env.py", "own/lib.py", "own/space/a.py", "site/space/b.py"]


def test_circles_end(follow):
    assert follow({"own/env.py": "import lib", "site/lib.py": "import env, lib"}) == [
        "own/env.py",
        "site/lib.py",
    ]


HOSTILE = {
    "syntax": "def",
    "encoding": b"x = '\xff'",
    "encoding unknown": "# coding: nothing\n",
    "zero": b"x = 1\0",
    "nested": "(" * 100_000,
    "nested without end": "-" * 200_000 + "1",
    "attributes": "x" + ".a" * 100_000,
    "indented": "".join(" " * n + "if x:\n" for n in range(150)),
    "many": "#" * (MAX_SOURCE + 1),
    "name": "import " + ".".join("a" * 50_000),
    "number": "x = " + "9" * 5000,
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_sources_hold_up_nothing_but_themselves(follow, what):
    files = {"own/env.py": "import bad, other", "own/bad.py": HOSTILE[what], "site/other.py": ""}
    found = follow(files)
    assert [path for path in found if "bad" not in path] == ["own/env.py", "site/other.py"]


def test_a_source_that_is_no_file_or_cannot_be_read(follow, tmp_path):
    (tmp_path / "own/gone.py").parent.mkdir()
    (tmp_path / "own/gone.py").symlink_to("/nothing")
    (tmp_path / "own/folder.py").mkdir()
    assert follow({"own/env.py": "import gone, folder"}) == ["own/env.py"]


def test_nothing_runs(follow, tmp_path):
    mark = tmp_path / "mark"
    text = f"open({str(mark)!r}, 'w')\nimport lib"
    assert follow({"own/env.py": text, "site/lib.py": text}) == ["own/env.py", "site/lib.py"]
    assert not mark.exists()


def test_an_interpreter_takes_it_for_its_own(tmp_path):
    """By a source that says something else: what is used is the bytecode."""
    source = tmp_path / "told.py"
    source.write_text("print('compiled', __cached__)")
    follower = Follower([str(tmp_path)])
    follower.want("told")
    ((path, content),) = follower.sources()
    assert path == str(source)
    assert content.startswith(MAGIC_NUMBER)
    assert marshal.loads(content[16:]).co_filename == path
    cached = Path(importlib.util.cache_from_source(path))
    cached.parent.mkdir()
    cached.write_bytes(content)
    source.write_text("print('source')")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import told"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, check=True)
    assert done.stdout.decode().strip() == f"compiled {cached}"
