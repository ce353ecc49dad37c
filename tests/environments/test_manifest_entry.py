"""Finding the entry in source code without running any."""

import pytest
from making import PROJECT
from reading import problems, project, source

from environments.manifest import BadManifest, Manifest


class TestEntry:
    def entry(self, code: str | bytes, path: str = "tiny_env/core.py") -> Manifest:
        return project(**{path: code.encode() if isinstance(code, str) else code})

    @pytest.mark.parametrize(
        "code",
        [
            "def make(): ...",
            "async def make(): ...",
            "class make: ...",
            "make = 1",
            "make: int = 1",
            "a, (make, *b) = 1, (2, 3)",
            "import os as make",
            "import make.deep",
            "from .other import make",
            "from .other import x as make",
            "from .other import *",
            "def __getattr__(name): ...",
            "try:\n    from a import make\nexcept ImportError:\n    make = None",
            "if True:\n    def make(): ...",
            "with open('x') as make: ...",
            "for make in range(3): ...",
            "\ufeffmake = '\\d'",
        ],
    )
    def test_defined(self, code: str) -> None:
        assert self.entry(code).entry == "tiny_env.core:make"

    @pytest.mark.parametrize(
        "code",
        [
            "",
            "def f():\n    def make(): ...",
            "class C:\n    make = 1",
            "make: int",
            "print(make)",
            "x = [make for make in range(3)]",
            "f = lambda make: make",
            "import os.make",
            "from make import x",
            "a.make = 1",
            "'''\ndef make(): ...\n'''",
        ],
    )
    def test_not_defined(self, code: str) -> None:
        with pytest.raises(BadManifest) as caught:
            self.entry(code)
        assert "does not define 'make'" in problems(caught)["tool.practicum.entry"]

    @pytest.mark.parametrize(
        ("code", "message"),
        [
            ("x = 1\ny = (", "tiny_env/core.py, line 2, does not parse"),
            ("\ndef make()\n  pass", "line 2"),
            (b"x = '\xff'", "not UTF-8"),
            (b"x = 1\0", "does not parse"),
            ("x = " + "-" * 100_000 + "1", "nested too deeply"),
            ("x = a" + ".b" * 100_000, "nested too deeply"),
            ("#" * 600_000, "512 KiB"),
        ],
    )
    def test_unreadable(self, code: str | bytes, message: str) -> None:
        with pytest.raises(BadManifest) as caught:
            self.entry(code)
        assert message in problems(caught)["tool.practicum.entry"]

    def test_nothing_is_run(self) -> None:
        assert self.entry("make = 1\nraise SystemExit(1)").entry

    def test_src_layout(self) -> None:
        files = {"src/tiny_env/core.py": b"make = 1", "tiny_env/core.py": None}
        manifest = source(PROJECT["pyproject.toml"], **files)
        assert manifest.import_paths == ("src",)

    def test_flat_beside_a_src_folder(self) -> None:
        assert project(**{"src/tools.py": b""}).import_paths == ("",)

    def test_src_as_a_package(self) -> None:
        files = {"src/__init__.py": b"", "src/core.py": b"make = 1"}
        manifest = project(hub='entry = "src.core:make"', **files)
        assert manifest.import_paths == ("",)

    def test_both_places_are_named(self) -> None:
        with pytest.raises(BadManifest) as caught:
            project(hub='entry = "tiny:make"', **{"src/x.py": b""})
        message = problems(caught)["tool.practicum.entry"]
        for path in ("src/tiny/__init__.py", "src/tiny.py", "tiny/__init__.py", "tiny.py"):
            assert path in message

    def test_package_before_module(self) -> None:
        """As Python imports it."""
        with pytest.raises(BadManifest):
            project(**{"tiny_env/core/__init__.py": b"other = 1"})
