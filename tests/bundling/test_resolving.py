"""Requirements that come to a lock, and those that do not, under both drivers."""

import platform
import time
from datetime import UTC, datetime

import pytest

from graders.bundling import lock, resolving, toolchain
from graders.bundling.index import TooMuch
from graders.bundling.lock import Locked
from graders.errors import EnvironmentFault, PlatformFault
from graders.sandbox.interpreters import minor
from tests.bundling.packages import WHEEL, metadata, sdist, wheel


class Cancelled(Exception):
    """Somebody cancelled the evaluation."""


def test_wheels_are_locked_by_their_digest(served, make_stock, resolve):
    name, content = wheel("demo", requires=("inner>=1",))
    demo = served.add(name, content, metadata=metadata("demo", "1.0", ("inner>=1",)))
    inner = served.add(*wheel("inner", "1.5"))
    served.add(*wheel("inner", "2.0", requires=("demo<1",)), yanked="no")
    found = resolve(["demo"], make_stock())
    assert found == [
        Locked("demo", "1.0", demo, "demo-1.0-py3-none-any.whl"),
        Locked("inner", "1.5", inner, "inner-1.5-py3-none-any.whl"),
    ]
    assert f"/files/{name}" not in served.paths()  # its metadata was enough


def test_pages_of_html_do_too(served, make_stock, resolve):
    served.as_html = True
    served.add(*wheel("demo", requires=("inner",)))
    served.add(*sdist("inner"), requires_python=">=3.11")
    served.add(*wheel("inner", "2.0"), requires_python=">=3.99")
    found = resolve(["demo"], make_stock())
    assert [(one.name, one.version, bool(one.built_from)) for one in found] == [
        ("demo", "1.0", False),
        ("inner", "1.0", True),
    ]


def test_a_source_is_built_and_kept(served, make_stock, resolve):
    archive = served.add(*sdist("demo"))
    stock = make_stock()
    (found,) = resolve(["demo"], stock)
    assert found.built_from == archive
    assert list(stock.kept.wheels) == [found.sha256]
    with stock.tree(found) as tree:
        assert (tree / "demo.py").read_text() == "ORIGIN = 'built'\n"


def test_a_source_that_must_run_to_tell_what_it_needs(served, make_stock, resolve):
    pkg_info = b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"
    served.add(*sdist("demo", requires=("inner",), files={"PKG-INFO": pkg_info}))
    served.add(*wheel("inner"))
    assert [one.name for one in resolve(["demo"], make_stock())] == ["demo", "inner"]


def test_a_build_may_need_packages_that_the_bundle_does_not(served, make_stock, resolve):
    pyproject = b'[build-system]\nrequires = ["backendlib"]\nbuild-backend = "backendlib"\n'
    lib = (
        "import os, zipfile\n"
        "def build_wheel(folder, settings=None, metadata=None):\n"
        "    name = 'demo-1.0-py3-none-any.whl'\n"
        "    with zipfile.ZipFile(os.path.join(folder, name), 'w') as made:\n"
        f"        made.writestr('demo-1.0.dist-info/METADATA', {metadata('demo', '1.0')!r})\n"
        f"        made.writestr('demo-1.0.dist-info/WHEEL', {WHEEL.format(tag='py3-none-any')!r})\n"
        "    return name\n"
    )
    served.add(*sdist("demo", files={"pyproject.toml": pyproject}))
    served.add(*wheel("backendlib", files={"backendlib.py": lib.encode()}))
    assert [one.name for one in resolve(["demo"], make_stock())] == ["demo"]


@pytest.mark.parametrize(
    ("requirements", "words"),
    [
        (["unknown"], "unknown was not found"),
        (["demo==9"], "demo==9"),
        (["demo", "demo!=1.0"], "demo"),
    ],
)
def test_requirements_that_cannot_be_met(served, make_stock, resolve, requirements, words):
    served.add(*wheel("demo"))
    with pytest.raises(EnvironmentFault) as caught:
        resolve(requirements, make_stock())
    said = str(caught.value)
    assert words in said
    assert said.startswith("The dependencies cannot be installed.")
    assert "127.0.0.1" not in said.replace("127.0.0.1:9", "")
    assert len(said) < 4100


@pytest.mark.parametrize(
    ("requirement", "words"),
    [
        ("demo @ http://127.0.0.1:9/demo-1.0.tar.gz", "names an address"),
        ("demo @ file:///etc/passwd", "names an address"),
        ("demo @ git+https://127.0.0.1:9/x", "names an address"),
        ("-r /etc/passwd", "is none"),
        ("--index-url http://127.0.0.1:9/", "is none"),
        ("demo\n--index-url http://127.0.0.1:9/", "is none"),
        ("demo --no-binary :all:", "is none"),
        ("./demo", "is none"),
        ("not a requirement", "is none"),
        ("", "is none"),
        ("x" * 200_000 + " y", "is none"),
    ],
)
def test_what_is_no_requirement_never_gets_to_a_sandbox(make_stock, requirement, words):
    with pytest.raises(EnvironmentFault, match=words) as caught:
        resolving.resolve(
            [requirement], sandbox=None, stock=make_stock(), as_of=datetime.now(UTC), job="none"
        )
    assert len(str(caught.value)) < 1000


def test_a_requirement_of_a_requirement_may_not_name_an_address(served, make_stock, resolve):
    served.add(*wheel("demo", requires=("other @ file:///etc/passwd",)))
    with pytest.raises(EnvironmentFault, match="other"):
        resolve(["demo"], make_stock())


def test_a_python_that_does_not_fit(served, make_stock, resolve):
    served.add(*wheel("demo"), requires_python=">=3.99")
    with pytest.raises(EnvironmentFault, match=r"Python>=3\.99"):
        resolve(["demo"], make_stock())


def test_a_package_with_neither_wheel_nor_source(served, make_stock, resolve):
    served.add(*wheel("demo", tag="cp311-cp311-win_amd64"))
    with pytest.raises(EnvironmentFault, match="demo"):
        resolve(["demo"], make_stock())


def test_the_number_of_packages_is_limited(served, make_stock, resolve):
    for number in range(4):
        served.add(*wheel(f"p{number}"))
    with pytest.raises(EnvironmentFault, match="are 4 packages; 3 are allowed"):
        resolve([f"p{number}" for number in range(4)], make_stock(packages=3))


def test_downloads_and_requests_are_limited(served, make_stock, resolve):
    served.add(*wheel("big", files={"x": bytes(range(256)) * 10}, requires=("p0",)))
    name, content = wheel("big", "2.0")
    served.add(name, content[:-22] + b"\0" * (3 << 20) + content[-22:])
    with pytest.raises(TooMuch, match="more than 1 MiB to download"):
        resolve(["big==2.0"], make_stock(download_mb=1))
    with pytest.raises(TooMuch, match="over 1 requests"):
        resolve(["big==1.0"], make_stock(requests=1))


@pytest.mark.parametrize("path", ["/simple/demo/", "/files/demo-1.0.tar.gz", "/simple/inner/"])
def test_an_index_that_fails_in_the_middle_is_the_platforms_fault(
    served, make_stock, resolve, path
):
    served.add(*sdist("demo", requires=("inner",)))
    served.add(*wheel("inner"))
    served.behave(path, lambda handler: handler.send(503, b""))
    with pytest.raises(PlatformFault, match=f"answered 503 for {path}"):
        resolve(["demo"], make_stock())


def test_an_index_that_hangs_up_is_the_platforms_fault(served, make_stock, resolve):
    def hang_up(handler):
        handler.close_connection = True

    served.behave("/simple/demo/", hang_up)
    with pytest.raises(PlatformFault, match="did not answer"):
        resolve(["demo"], make_stock())


def test_what_check_raises_ends_a_build_at_once(served, make_stock, resolve):
    served.add(*sdist("demo", code="import time; time.sleep(600)"))
    began = time.monotonic()

    def check() -> None:
        if time.monotonic() - began > 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        resolve(["demo"], make_stock(), check)
    assert time.monotonic() - began < 6


def test_what_check_raises_ends_an_installation(served, make_stock, tmp_path):
    sha256 = served.add(*wheel("demo"))
    locked = [Locked("demo", "1.0", sha256, "demo-1.0-py3-none-any.whl")]

    def check() -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        make_stock().install(locked, tmp_path / "site", check)


def test_without_a_compiler_in_the_index_the_owner_sees_the_build_error(
    served, make_stock, resolve
):
    served.add(*sdist("demo", code="raise RuntimeError('command cc failed')"))
    with pytest.raises(EnvironmentFault) as caught:
        resolve(["demo"], make_stock())
    said = str(caught.value)
    assert "command cc failed" in said
    assert "There is no compiler here. The package index does not list ziglang-" in said


def test_a_machine_without_a_compiler(served, make_stock, monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with (
        pytest.raises(toolchain.NoCompiler, match="no compiler for riscv64"),
        toolchain.mount(make_stock(), lambda: None),
    ):
        pass


def test_a_compiler_is_mounted_when_a_build_fails_without(served, make_stock, resolve, monkeypatch):
    """The real one is tried with the real index; here a script stands at its place."""
    name, content = wheel(
        "ziglang",
        toolchain.VERSION,
        {"ziglang/zig": b"#!/usr/bin/env python3\nprint('compiled')\n"},
    )
    sha256 = served.add(name, content)
    monkeypatch.setitem(toolchain.WHEELS, platform.machine(), (sha256, "any"))
    code = (
        "import subprocess\n"
        "words = os.environ.get('CC', '').split()\n"
        "assert words and words[:2] == ['/opt/zig/zig', 'cc'], 'no compiler yet'\n"
        "assert os.path.isfile(words[0])\n"
    )
    served.add(*sdist("demo", code=code))
    stock = make_stock()
    (found,) = resolve(["demo"], stock)
    assert found.built_from
    assert served.paths().count(f"/files/{name}") == 1


def test_the_lock_reads_back(served, make_stock, resolve, sandbox):
    served.add(*sdist("demo"))
    found = resolve(["demo"], make_stock())
    assert lock.read(lock.write(found, minor(sandbox.python))) == found
