"""What names may be, the same in every kind of archive."""

from collections.abc import Callable

import pytest
from making import Raw, codes, open_archive, pax, plain_tar, raw_tar, raw_zip, tar_file

from environments.archives import BadArchive


def zipped(*names: str) -> tuple[bytes, str]:
    return raw_zip(*(Raw(name.encode(), flags=1 << 11) for name in names)), "env.zip"


def tarred(*names: str) -> tuple[bytes, str]:
    members = [pax({"path": name}) + tar_file() for name in names]
    return raw_tar(*members), "env.tar.gz"


DEEP = "/".join("abcdefghij")

BAD = {
    "escape": (["../a.py"], "name-escapes"),
    "escape inside": (["a/../../b.py"], "name-escapes"),
    "only dots": ([".."], "name-escapes"),
    "absolute": (["/etc/passwd"], "name-absolute"),
    "drive": (["C:/a.py"], "name-absolute"),
    "drive, relative": (["c:a.py"], "name-absolute"),
    "backslash": (["a\\..\\b.py"], "name-backslash"),
    "network share": (["\\\\host\\a"], "name-backslash"),
    "newline": (["a\n.py"], "name-unprintable"),
    "escape sequence": (["\x1b[2J.py"], "name-unprintable"),
    "delete": (["a\x7f.py"], "name-unprintable"),
    "C1 control": (["a\x85.py"], "name-unprintable"),
    "right-to-left override": (["a\u202eyp.exe"], "name-unprintable"),
    "zero width": (["a\u200b.py"], "name-unprintable"),
    "line separator": (["a\u2028.py"], "name-unprintable"),
    "empty part": (["a//b.py"], "name-empty-part"),
    "dot part": (["a/./b.py"], "name-empty-part"),
    "201 bytes": (["é" * 43 + "/" + "é" * 43 + "/" + "d" * 27], "name-too-long"),
    "eleven parts": ([DEEP + "/k"], "name-too-deep"),
    "case": (["README", "readme"], "name-collision"),
    "case of folders": (["A/b.py", "a/c.py"], "name-collision"),
    "sharp s": (["straße", "STRASSE"], "name-collision"),
    "composition": (["caf\u00e9", "cafe\u0301"], "name-collision"),
    "case and composition": (["CAFE\u0301", "caf\u00e9"], "name-collision"),
    "Kelvin sign": (["\u212a.py", "k.py"], "name-collision"),
    "file as a folder": (["a", "a/b.py"], "file-as-folder"),
    "folder, then file": (["a/b/c.py", "a/b"], "file-as-folder"),
    "file as a folder, other case": (["A", "a/b.py"], "name-collision"),
    "git": ([".git/config", "a.py"], "version-control"),
    "git inside": (["p/.git/hooks/x", "a.py"], "version-control"),
    "git worktree": (["p/.git", "a.py"], "version-control"),
    "mercurial": ([".hg/hgrc", "a.py"], "version-control"),
    "macOS resources": (["__MACOSX/._a.py", "a.py"], "macos-files"),
    "Finder": (["p/.DS_Store", "a.py"], "macos-files"),
    "AppleDouble": (["p/._a.py", "a.py"], "macos-files"),
    "virtual environment": ([".venv/bin/python", "a.py"], "virtual-environment"),
    "virtual environment, named": (["env/pyvenv.cfg", "a.py"], "virtual-environment"),
    "bytecode": (["p/__pycache__/a.cpython-311.pyc"], "bytecode"),
    "optimised": (["p/a.pyo"], "bytecode"),
    "bytecode, capitals": (["p/A.PYC"], "bytecode"),
    "path hook": (["p/evil.pth"], "path-hook"),
    "start-up": (["sitecustomize.py"], "startup-hook"),
    "start-up, src": (["src/usercustomize.py"], "startup-hook"),
    "start-up, package": (["sitecustomize/__init__.py"], "startup-hook"),
    "library": (["p/a.so"], "native-code"),
    "versioned library": (["p/liba.so.1.2"], "native-code"),
    "extension": (["p/a.cpython-311-x86_64-linux-gnu.so"], "native-code"),
    "Windows": (["p/a.pyd", "p/b.dll"], "native-code"),
    "macOS": (["p/a.dylib"], "native-code"),
}


@pytest.mark.parametrize("make", [zipped, tarred])
@pytest.mark.parametrize("case", BAD)
def test_bad_name(case: str, make: Callable[..., tuple[bytes, str]]) -> None:
    names, code = BAD[case]
    assert codes(*make(*names)) == [code]


GOOD = [
    "..a/b..py",
    "a b.py",
    "ünïcode/日本.txt",
    "é" * 86 + "/" + "e" * 27,
    DEEP,
    "p/so.py",
    "p/also.txt",
    ".github/workflows/ci.yml",
    ".gitignore",
    "PKG-INFO",
    "p.egg-info/PKG-INFO",
    "p.data/x",
    "p/git/a.py",
    "notsitecustomize.py",
]


@pytest.mark.parametrize("make", [zipped, tarred])
@pytest.mark.parametrize("name", GOOD)
def test_good_name(name: str, make: Callable[..., tuple[bytes, str]]) -> None:
    assert name in open_archive(*make("setup.cfg", name)).files


def test_thousands_of_one_kind_are_one_fault() -> None:
    data = plain_tar({f"p/__pycache__/m{n}.pyc": b"" for n in range(2000)} | {"p/a.so": b""})
    with pytest.raises(BadArchive) as caught:
        open_archive(data, "e.tar.gz")
    bytecode, native = caught.value.faults
    assert (bytecode.code, bytecode.member) == ("bytecode", "p/__pycache__/m0.pyc")
    assert "(2000 of them.)" in bytecode.message
    assert "__pycache__" in bytecode.message
    assert "of them" not in native.message


@pytest.mark.parametrize("name", ["env.rar", "env.tar", "env.tar.xz", "env", "env.zip.exe", ""])
def test_unknown_kind(name: str) -> None:
    assert codes(plain_tar({"a.py": b""}), name) == ["unknown-kind"]


def test_members_are_shown_printably() -> None:
    with pytest.raises(BadArchive) as caught:
        open_archive(raw_tar(tar_file(b"\xff\x00\x1b[2J\xe2\x80\xae" + b"x" * 80)), "e.tar.gz")
    assert caught.value.faults[0].member.startswith(r"\xff\x00\x1b[2J\u202e")


ROOTS = {
    ("p-1.0/pyproject.toml", "p-1.0/src/p/a.py"): "p-1.0",
    ("p/pyproject.toml", "p/__init__.py"): "p",
    ("p/__init__.py", "p/a.py"): "",
    ("p/pyproject.toml", "q/a.py"): "",
    ("pyproject.toml", "p/a.py"): "",
    ("pyproject.toml",): "",
    ("p/q/a.py", "p/q/b.py"): "p",
}


@pytest.mark.parametrize("names", ROOTS)
@pytest.mark.parametrize("make", [zipped, tarred])
def test_root_folder(names: tuple[str, ...], make: Callable[..., tuple[bytes, str]]) -> None:
    root = ROOTS[names]
    archive = open_archive(*make(*names))
    assert archive.root == root
    assert set(archive.files) == {name.removeprefix(root).lstrip("/") for name in names}
