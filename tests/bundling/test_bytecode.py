"""The bytecode of bundles: made by a build, used by what runs, and no way in for anybody."""

import importlib.util
import logging
import marshal
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from graders.bundling import compiling, driven
from graders.errors import EnvironmentFault, PlatformFault
from graders.pipeline import bundles
from graders.sandbox import SandboxUnavailable
from graders.sandbox.bubblewrap import Bubblewrap
from tests.bundling.packages import wheel
from tests.bundling.test_session import LIAR
from tests.bundling.versions import build, fingerprint, run_inside, stored_version
from tests.sandbox.support import left_by

pytestmark = pytest.mark.django_db

HELD = """
import json
from lib import part
class Inner:
    import other
def late():
    import lazy
    return lazy
"""
LIB = {
    "lib/__init__.py": b"from .deep import down\ntry: import broken\nexcept SyntaxError: pass\n",
    "lib/part.py": b"WHERE = (lambda: 0).__code__.co_filename\n",
    "lib/deep/__init__.py": b"",
    "lib/deep/down.py": b"{1, 'b', 'a', 3.5} and 'x' in {'y', 'x', 'z'}\n",
    "lib/unused.py": b"",
    "other.py": b"",
    "lazy.py": b"",
    "broken.py": b"def\n",
}
COMPILED = {
    "project/held",
    *(f"site-packages/{name}" for name in ("lib/__init__", "lib/part", "other")),
    *(f"site-packages/lib/deep/{name}" for name in ("__init__", "down")),
}
# What an import compiles is told of, since it has no bytecode.
WATCHED = """
import importlib.machinery as machinery, json
sys.path.insert(0, "/env/project")
compiled = []
class Loader(machinery.SourceFileLoader):
    def source_to_code(self, data, path, **options):
        compiled.append(path)
        return super().source_to_code(data, path, **options)
sys.path_hooks[:] = [machinery.FileFinder.path_hook((Loader, [".py"]))]
sys.path_importer_cache.clear()
"""


@pytest.fixture
def one_driver(state_dir):
    return Bubblewrap(state_dir)


@pytest.fixture(autouse=True)
def _served(served, store, settings, monkeypatch):
    settings.PACKAGE_INDEX_URL = served.url
    monkeypatch.setattr(bundles, "store", lambda: store)
    served.add(*wheel("lib", files=LIB))


def version(module=HELD, **fields):
    return stored_version(
        "lib", module=module, **{"entry": "held:make", "import_paths": [""]} | fields
    )


def compiled(bundle: Path) -> set[str]:
    """The sources that have bytecode, without their suffix."""
    found = {path.relative_to(bundle) for path in bundle.rglob("*.pyc")}
    assert {path.parent.name for path in found} <= {"__pycache__"}
    return {str(path.parent.parent / path.name.split(".")[0]) for path in found}


def test_what_is_imported_is_compiled_and_used(sandbox):
    with bundles.held(build(version(), sandbox), sandbox) as bundle:
        assert compiled(bundle) == COMPILED
        modes = {path.stat().st_mode & 0o777 for path in bundle.rglob("*.pyc")}
        code = (
            f"{WATCHED}import held, lib\nheld.late()\nprint(json.dumps([compiled, lib.part.WHERE]))"
        )
        again, where = run_inside(sandbox, bundle, code)
    assert modes == {0o444}
    assert again == ["/env/site-packages/broken.py", "/env/site-packages/lazy.py"]
    assert where == "/env/site-packages/lib/part.py"


def test_bytecode_runs_whatever_the_time_of_its_source(one_driver):
    with bundles.held(build(version(), one_driver), one_driver) as bundle:
        os.utime(bundle / "site-packages/lib/part.py", (1, 1))
        code = f"{WATCHED}import lib.part\nprint(json.dumps(compiled))"
        assert run_inside(one_driver, bundle, code) == ["/env/site-packages/broken.py"]


def test_another_python_compiles_for_itself(one_driver, monkeypatch):
    made = build(version(), one_driver)
    monkeypatch.setattr(compiling, "minor", lambda _: "3.99")
    with bundles.held(made, one_driver) as bundle:
        assert len(list(bundle.rglob("*.cpython-399.pyc"))) == len(COMPILED)
        code = f"{WATCHED}import lib.part\nprint(json.dumps(len(compiled)))"
        assert run_inside(one_driver, bundle, code) == len(COMPILED) - 2 + 1


def test_the_same_bytes_each_time(sandbox, store):
    made = build(version(), sandbox)
    found = []
    for _ in range(2):
        with bundles.held(made, sandbox) as bundle:
            found.append(fingerprint(bundle))
        shutil.rmtree(store._root)
    assert found[0] == found[1]
    assert sum(path.endswith(".pyc") for path in found[0]) == len(COMPILED)


def test_environments_of_one_archive_share_a_bundle_that_has_what_all_import(one_driver):
    first, second = (version(entry=entry) for entry in ("held:make", "lib.unused:make"))
    build(first, one_driver)
    second.lock = first.lock
    with bundles.held(first, one_driver) as one, bundles.held(second, one_driver) as two:
        assert one == two
        assert compiled(one) == COMPILED | {"site-packages/lib/unused"}


def test_who_imports_once_needs_no_bytecode(one_driver):
    made = build(version(), one_driver)
    with bundles.held(made, None) as bare, bundles.held(made, one_driver) as bundle:
        assert compiled(bare) == set()
        assert compiled(bundle) == COMPILED


def forged() -> bytes:
    """Bytecode that is used whatever its source says."""
    code = compile("WHERE = 'forged'", "part.py", "exec")
    return importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + bytes(8) + marshal.dumps(code)


def place(name: str) -> str:
    """Where this process's Python, which bubblewrap's is too, looks for a module's bytecode."""
    return importlib.util.cache_from_source(f"{name}.py")


def test_a_forged_file_would_be_used_where_nobody_takes_care(tmp_path):
    """What the next tests are worth."""
    (tmp_path / "part.py").write_text("WHERE = 'source'")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / place("part")).write_bytes(forged())
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import part; print(part.WHERE)"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, check=True)
    assert done.stdout == b"forged\n"


@pytest.mark.parametrize("name", ["part", "unused"])
def test_forged_bytecode_of_a_wheel_is_left_out(sandbox, served, name):
    """Whether the build compiles its source or not."""
    files = {place(f"lib/{name}"): forged(), f"lib/{name}.py": b"WHERE = 'source'"}
    served.add(*wheel("lib", "2.0", LIB | files))
    with bundles.held(build(version(), sandbox), sandbox) as bundle:
        code = f"import json, lib.{name} as found; print(json.dumps(found.WHERE))"
        assert run_inside(sandbox, bundle, code) == "source"
        assert compiled(bundle) == COMPILED


def test_forged_bytecode_of_an_upload_is_refused(one_driver):
    """Even if it was stored once: an archive is checked again before it is unpacked."""
    made = stored_version(files={place("held"): forged()})
    with pytest.raises(EnvironmentFault, match="compiled Python"), bundles.held(made, one_driver):
        pass


UNCOMPILABLE = {
    "syntax": b"def\n",
    "zero": b"\0",
    "no text": b"'\xff'\n",
    "nested": b"(" * 100_000,
    "huge": b"#" * (3 << 20),
    "memory": b"x = [" + b"[],[]," * 150_000 + b"]\n",
}


@pytest.mark.parametrize("what", UNCOMPILABLE)
def test_a_source_that_cannot_be_compiled_fails_nothing(one_driver, served, what):
    module = "try:\n    import bad\nexcept Exception: pass\n" + HELD
    served.add(*wheel("lib", "2.0", LIB | {"bad.py": UNCOMPILABLE[what]}))
    with bundles.held(build(version(module), one_driver), one_driver) as bundle:
        assert compiled(bundle) - {"site-packages/bad"} == COMPILED


def test_a_source_that_takes_too_much_leaves_the_rest(
    one_driver, served, monkeypatch, settings, caplog
):
    """Of time or memory, whichever is used up first: it grows with the square of the length."""
    settings.BUILD_LIMITS = {"bytecode_seconds": 2}
    monkeypatch.setattr(compiling, "GRACE_S", 1.0)
    slow = b"import " + b".".join([b"a"] * 1_000_000)
    served.add(*wheel("lib", "2.0", LIB | {"other.py": slow}))
    made = build(version("import lib.part\nimport other\nimport lazy"), one_driver)
    began = time.monotonic()
    with caplog.at_level(logging.WARNING), bundles.held(made, one_driver) as bundle:
        assert {"project/held", "site-packages/lib/part"} <= compiled(bundle) < COMPILED
    assert time.monotonic() - began < 20
    assert re.search(
        "compiled at every start. Compiling took more than (3 s|2048 MiB)", caplog.text
    )
    assert left_by(one_driver) == ([], [], [], set())


@pytest.mark.parametrize(
    ("limits", "least", "most"),
    [
        ({"bytecode_files": 0}, 0, 0),
        ({"bytecode_files": 5}, 2, 2),
        ({"bytecode_mb": 0}, 0, 0),
        ({"bytecode_seconds": 0}, 1, 1),
        ({"files": 17}, 1, 5),
    ],
)
def test_what_is_over_the_limits_stays_as_it_is(one_driver, settings, limits, least, most):
    made = build(version(), one_driver)
    settings.BUILD_LIMITS = limits
    with bundles.held(made, one_driver) as bundle:
        assert least <= len(compiled(bundle)) <= most
        assert sum(1 for _ in (bundle / "site-packages").rglob("*")) <= limits.get("files", 100) + 2
        assert compiled(bundle) <= COMPILED
        assert "project/held" in compiled(bundle) or most == 0


def test_bytes_of_the_bundle_count_too(one_driver, served, settings):
    served.add(*wheel("lib", "2.0", LIB | {"large.bin": os.urandom((1 << 20) - 1500)}))
    made = build(version(), one_driver)
    settings.BUILD_LIMITS = {"bundle_mb": 1}
    with bundles.held(made, one_driver) as bundle:
        assert 0 < len(compiled(bundle)) < len(COMPILED)
        size = sum(path.stat().st_size for path in (bundle / "site-packages").rglob("*.*"))
    assert size < (1 << 20) + 20_000  # folders have a size here, too


LIES = {
    "a way out": "tell('../evil.py')",
    "absolute": "tell('/env/project/held.py')",
    "no source": "tell('project/pyproject.toml')",
    "nothing": "tell('project/nothing.py')",
    "a folder": "tell('site-packages/lib')",
    "not on the path": "tell('data/words.py')",
    "twice": "tell('project/held.py', b'second')",
    "a name of controls": "tell('project/\\x1b.py')",
    "no base64": "say('bytecode', path='project/held.py', data='!')",
    "too long": "[tell('site-packages/other.py', bytes(4 << 20)) for _ in range(3)]",
    "no path": "say('bytecode', path=3, data='')",
    "something else": "say('wheel', filename='x', size=1)",
    "a question": "say('fetch', rid=1, path='')",
    "a failure": "say('failed', text='no')",
    "gone": "os._exit(3)",
    "no frame": "raw(b'\\0\\0\\0\\1x')",
}
TELL = """
def tell(path, content=b"first"):
    say("bytecode", path=path, data=base64.b64encode(content).decode())
ready()
while reader.read()["type"] != "compile": pass
tell("project/held.py")
"""


@pytest.mark.parametrize("what", LIES)
def test_a_builder_that_lies_adds_nothing_but_bytecode_of_sources(
    one_driver, settings, monkeypatch, what, store
):
    made = build(version(), one_driver)
    settings.BUILD_LIMITS = {"bytecode_mb": 8}
    code = f"{LIAR}{TELL}{LIES[what]}\nsay('compiled')\ntime.sleep(9)\n"
    monkeypatch.setattr(driven, "ARGV", ("python3", "-u", "-c", code))
    with bundles.held(made, one_driver) as bundle:
        found = compiled(bundle)
        (own,) = (bundle / "project").rglob("*.pyc")
        assert own.read_bytes() == b"first"
    assert found - {"site-packages/other"} == {"project/held"}
    assert not list(store._root.rglob("evil*"))


def test_bytecode_goes_around_what_lies_in_its_place(one_driver):
    """Names that an archive may have."""
    files = {f"{place('one')}/x.txt": b"", "one.py": b"", "two.py": b""}
    files |= {"sub/__init__.py": b"", "sub/__pycache__": b""}
    made = version("import one, two, sub", files=files)
    with bundles.held(build(made, one_driver), one_driver) as bundle:
        assert compiled(bundle) - {"project/one"} == {"project/held", "project/two"}
        assert (bundle / "project/sub/__pycache__").is_file()


def test_who_is_told_to_end_ends_at_once(one_driver, store, monkeypatch):
    class Drained(Exception):
        pass

    def check() -> None:
        if asked.append(0) is None and len(asked) > 2:
            raise Drained

    asked: list[int] = []
    made = build(version(), one_driver)
    code = f"{LIAR}{TELL}time.sleep(60)"
    monkeypatch.setattr(driven, "ARGV", ("python3", "-u", "-c", code))
    with pytest.raises(Drained), bundles.held(made, one_driver, check):
        pass
    assert not list((store._root / "bundles").iterdir())


def test_a_sandbox_that_does_not_start_is_the_platforms_fault(one_driver, monkeypatch):
    def refuse(*_):
        raise SandboxUnavailable("no room")

    made = build(version(), one_driver)
    monkeypatch.setattr(Bubblewrap, "start", refuse)
    with pytest.raises(PlatformFault, match="no room"), bundles.held(made, one_driver):
        pass
