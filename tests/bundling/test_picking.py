"""Which file is used, for each Python and machine."""

import platform

import pytest

from graders.bundling import picking
from graders.bundling.index import File
from graders.bundling.lock import Pin

DIGEST = "a" * 64
PIN = Pin("numpy", "2.0", frozenset({DIGEST}))
X86 = [
    "numpy-2.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    "numpy-2.0-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
    "numpy-2.0-cp311-abi3-manylinux_2_17_x86_64.whl",
    "numpy-2.0-cp310-abi3-manylinux1_x86_64.whl",
    "numpy-2.0-py3-none-manylinux_2_17_x86_64.whl",
    "numpy-2.0-py3-none-any.whl",
    "numpy-2.0-py2.py3-none-any.whl",
]
UNFIT = [
    "numpy-2.0-cp312-cp312-manylinux_2_17_x86_64.whl",
    "numpy-2.0-cp312-abi3-manylinux_2_17_x86_64.whl",
    "numpy-2.0-cp311-cp311-manylinux_2_34_x86_64.whl",
    "numpy-2.0-cp311-cp311-musllinux_1_2_x86_64.whl",
    "numpy-2.0-cp311-cp311-win_amd64.whl",
    "numpy-2.0-cp311-cp311-macosx_11_0_arm64.whl",
    "numpy-2.0-cp311-cp311-manylinux_2_17_i686.whl",
    "numpy-2.0-cp311-cp311t-manylinux_2_17_x86_64.whl",
    "numpy-2.0-pp311-pypy311_pp73-manylinux_2_17_x86_64.whl",
    "numpy-2.0-py2-none-any.whl",
    "numpy-2.1-py3-none-any.whl",
    "other-2.0-py3-none-any.whl",
    "numpy-2.0.whl",
    "numpy-2.0.tar.gz",
]


def file(filename: str, sha256: str = DIGEST) -> File:
    return File(filename, f"http://host/{filename}", sha256, None, {})


def picked(names: list[str], python: str, machine: str, monkeypatch) -> str | None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    found = picking.wheel(PIN, map(file, names), picking.tags(python))
    return found and found.filename


def test_the_best_wheel_comes_first(monkeypatch):
    # The newest C library, then older ones; the own ABI, then the stable one, then none.
    order = [X86[1], X86[0], *X86[2:6]]
    for at in range(len(order)):
        names = [*reversed(order[at:]), *UNFIT]
        assert picked(names, "3.11", "x86_64", monkeypatch) == order[at]
    assert picked([X86[6], *UNFIT], "3.11", "x86_64", monkeypatch) == X86[6]
    assert picked(UNFIT, "3.11", "x86_64", monkeypatch) is None


@pytest.mark.parametrize("python", ["3.11", "3.12.1", "3.13"])
@pytest.mark.parametrize("machine", ["x86_64", "aarch64", "arm64", "AMD64"])
def test_each_python_and_machine_gets_its_own(python, machine, monkeypatch):
    arch = "x86_64" if machine in ("x86_64", "AMD64") else "aarch64"
    names = [
        f"numpy-2.0-cp3{minor}-cp3{minor}-manylinux_2_17_{one}.manylinux2014_{one}.whl"
        for minor in (10, 11, 12, 13, 14)
        for one in ("x86_64", "aarch64")
    ]
    tag = f"cp3{python.split('.')[1]}"
    wanted = f"numpy-2.0-{tag}-{tag}-manylinux_2_17_{arch}.manylinux2014_{arch}.whl"
    assert picked(names, python, machine, monkeypatch) == wanted


def test_old_wheels_are_for_the_machines_there_were(monkeypatch):
    old = "numpy-2.0-cp311-cp311-manylinux1_{}.whl"
    assert picked([old.format("x86_64")], "3.11", "x86_64", monkeypatch)
    assert picked([old.format("aarch64")], "3.11", "aarch64", monkeypatch) is None


def test_only_what_the_pin_allows():
    other = file(X86[5], "b" * 64)
    assert picking.wheel(PIN, [other], picking.tags("3.11")) is None
    assert picking.source(PIN, [file("numpy-2.0.tar.gz", "b" * 64)]) is None


def test_sources():
    assert picking.source(PIN, map(file, X86)) is None
    names = ["numpy-2.0.zip", "numpy-2.0.tar.gz", "numpy-2.1.tar.gz", "numpy-docs.tar.gz"]
    found = picking.source(PIN, map(file, names))
    assert found is not None
    assert found.filename == "numpy-2.0.tar.gz"
    assert picking.source(PIN, [file("numpy-2.1.tar.gz"), file("numpy_x-2.0.tar.gz")]) is None


@pytest.mark.parametrize(
    ("filename", "fitting"),
    [
        ("numpy-2.0-py3-none-any.whl", True),
        ("Numpy-2.0.0-py3-none-any.whl", False),
        ("numpy-2.0-1build-py3-none-any.whl", True),
        ("numpy-2.0-1 evil, built from sha256-py3-none-any.whl", False),
        ("numpy-2.0-1\x1b[31m-py3-none-any.whl", False),
        ("numpy-2.0-py3-none-any.whl\n", False),
        ("numpy-2.0-py3-none-any.whl/x", False),
        ("../numpy-2.0-py3-none-any.whl", False),
        ("numpy-2.0-cp311-cp311-win_amd64.whl", False),
        ("numpy-2.1-py3-none-any.whl", False),
        ("other-2.0-py3-none-any.whl", False),
        ("numpy-2.0.tar.gz", False),
        ("", False),
    ],
)
def test_what_was_built_has_to_be_what_was_wanted(filename, fitting):
    assert picking.fits(filename, PIN, picking.tags("3.11")) is fitting
