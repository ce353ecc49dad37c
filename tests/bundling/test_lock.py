"""The lock's text, and what a build may have made of it."""

import pytest

from graders.bundling import lock
from graders.bundling.lock import BadLock, Locked, Pin

A, B = "a" * 64, "b" * 64
WHEEL = Locked("numpy", "2.3.5", A, "numpy-2.3.5-cp311-cp311-manylinux_2_27_x86_64.whl")
BUILT = Locked("cellpylib", "2.4.0", B, "cellpylib-2.4.0-py3-none-any.whl", A)


def test_what_is_written_is_read():
    text = lock.write([WHEEL, BUILT], "3.11")
    assert text.splitlines()[0] == "# Python 3.11"
    assert lock.read(text) == [BUILT, WHEEL]
    assert lock.write(lock.read(text), "3.11") == text


def test_an_empty_lock():
    assert lock.write([], "3.12") == "# Python 3.12\n"
    assert lock.read(lock.write([], "3.12")) == []
    assert lock.read("") == []


def test_the_pins_of_what_uv_writes():
    text = (
        f"numpy==2.3.5 \\\n    --hash=sha256:{A} \\\n    --hash=sha256:{B}\n"
        f"# a comment\n\nMy.Package==1.0.post1 \\\n    --hash=sha256:{B}\n"
    )
    assert lock.pins(text) == [
        Pin("numpy", "2.3.5", frozenset({A, B})),
        Pin("my-package", "1.0.post1", frozenset({B})),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "numpy",
        "numpy>=1",
        f"numpy>=1 --hash=sha256:{A}",
        f"numpy==1.* --hash=sha256:{A}",
        f"numpy===1 --hash=sha256:{A}",
        f"numpy==1,==2 --hash=sha256:{A}",
        f"numpy @ http://host/numpy.whl --hash=sha256:{A}",
        f"-e . --hash=sha256:{A}",
        "--index-url http://elsewhere/",
        "-r /etc/passwd",
        "numpy==1",
        "numpy==1 --hash=md5:abc",
        f"numpy==1 --hash=sha256:{A[:-1]}",
        f"numpy==1 --hash=sha256:{A}0",
        "\x1b[31m",
        "x" * 100_000,
    ],
)
def test_lines_that_pin_nothing(line):
    with pytest.raises(BadLock) as caught:
        lock.pins(line)
    assert len(str(caught.value)) < 400
    assert "\x1b" not in str(caught.value)


def test_a_package_is_pinned_once():
    line = f"numpy==1 --hash=sha256:{A}\n"
    with pytest.raises(BadLock, match="numpy is pinned 2 times"):
        lock.pins(line + line.replace("==1", "==2").replace("numpy", "Numpy"))
    with pytest.raises(BadLock, match="numpy is pinned 2 times"):
        lock.read(f"{WHEEL}\n{WHEEL}\n")


@pytest.mark.parametrize(
    "line",
    [
        f"numpy==1 --hash=sha256:{A}",
        f"numpy==1 --hash=sha256:{A} --hash=sha256:{B} # numpy-1-py3-none-any.whl",
        f"numpy==1 --hash=sha256:{A} # numpy-1.tar.gz",
        f"numpy==1 --hash=sha256:{A} # ../numpy-1-py3-none-any.whl",
        f"numpy==1 --hash=sha256:{A} # a b-1-py3-none-any.whl",
        f"numpy==1 --hash=sha256:{A} # nu\x1bmpy-1-py3-none-any.whl",
        f"# x\nnumpy==1 --hash=sha256:{A} # numpy-1-py3-none-any.whl\x0bevil==1",
    ],
)
def test_lines_that_are_no_wheel(line):
    with pytest.raises(BadLock):
        lock.read(line)
