"""Wheels that are sound zips, but not what their names say."""

import re

import pytest
from making import INFO, WHEEL_FILES, WHEEL_NAME, codes, open_archive, record, wheel

RECORD = f"{INFO}/RECORD"
METADATA = f"{INFO}/METADATA"
WHEEL = f"{INFO}/WHEEL"
LISTED = record(WHEEL_FILES, RECORD)


def test_good_wheel() -> None:
    archive = open_archive(wheel(), WHEEL_NAME)
    assert archive.kind == "wheel"
    assert archive.root == ""
    assert RECORD in archive.files


def test_a_name_may_be_spelled_otherwise() -> None:
    tags = WHEEL_FILES[WHEEL].replace(b"py3-none-any", b"py2-none-any\nTag: py3-none-any")
    assert codes(wheel({WHEEL: tags}), "Tiny.Env-1.0.0-1build-py2.py3-none-any.whl") == []


NAMES = {
    "nonsense.whl": ["wheel-name"],
    "tiny_env-1.0.whl": ["wheel-name"],
    "tiny_env-x-py3-none-any.whl": ["wheel-name"],
    "other-1.0-py3-none-any.whl": ["wheel-dist-info", "wheel-metadata"],
    "tiny_env-1.1-py3-none-any.whl": ["wheel-dist-info", "wheel-metadata"],
    "tiny_env-1.0-cp311-cp311-linux_x86_64.whl": ["wheel-not-pure", "wheel-tags"],
    "tiny_env-1.0-py3-none-linux_x86_64.whl": ["wheel-not-pure", "wheel-tags"],
    "tiny_env-1.0-py2-none-any.whl": ["wheel-not-pure", "wheel-tags"],
}


@pytest.mark.parametrize("name", NAMES)
def test_file_name(name: str) -> None:
    assert codes(wheel(), name) == NAMES[name]


def line(old: bytes, new: bytes, text: bytes = LISTED) -> bytes:
    assert old in text
    return text.replace(old, new)


ATTACKS = {
    "scripts": (wheel({"tiny_env-1.0.data/scripts/x": b""}), "wheel-data"),
    "two dist-infos": (wheel({"other-1.dist-info/METADATA": b""}), "wheel-dist-info"),
    "no METADATA": (wheel({METADATA: None}), "wheel-incomplete"),
    "no WHEEL": (wheel({WHEEL: None}), "wheel-incomplete"),
    "no RECORD": (wheel({RECORD: None}), "wheel-incomplete"),
    "another name": (wheel({METADATA: b"Name: x\nVersion: 1.0\n"}), "wheel-metadata"),
    "another version": (wheel({METADATA: b"Name: tiny-env\nVersion: 2\n"}), "wheel-metadata"),
    "no version": (wheel({METADATA: b"Name: tiny-env\n"}), "wheel-metadata"),
    "METADATA of rubbish": (wheel({METADATA: b"\xff\0\n\n:"}), "wheel-metadata"),
    "METADATA too large": (wheel({METADATA: b"Name: x\n" * 200_000}), "wheel-incomplete"),
    "not pure": (
        wheel({WHEEL: line(b"lib: true", b"lib: false", WHEEL_FILES[WHEEL])}),
        "wheel-not-pure",
    ),
    "another tag": (wheel({WHEEL: line(b"py3", b"py2", WHEEL_FILES[WHEEL])}), "wheel-tags"),
    "tag of rubbish": (
        wheel({WHEEL: line(b"py3-none-any", b"x", WHEEL_FILES[WHEEL])}),
        "wheel-tags",
    ),
    "another format": (
        wheel({WHEEL: line(b"Version: 1.0", b"Version: 2.0", WHEEL_FILES[WHEEL])}),
        "wheel-version",
    ),
    "unlisted file": (wheel({"tiny_env/evil.py": b""}, LISTED), "wheel-record"),
    "listed, but missing": (wheel({"tiny_env/core.py": None}, LISTED), "wheel-record"),
    "changed file": (wheel({"tiny_env/core.py": b"evil"}, LISTED), "wheel-record"),
    "size alone wrong": (wheel(listed=line(b",500\n", b",501\n")), "wheel-record"),
    "no hash": (wheel(listed=re.sub(rb"(core.py),[^,]*", rb"\1,", LISTED)), "wheel-record"),
    "weak hash": (wheel(listed=line(b"core.py,sha256", b"core.py,md5")), "wheel-record"),
    "listed twice": (wheel(listed=LISTED + LISTED), "wheel-record"),
    "RECORD of two columns": (wheel(listed=b"a,b\n"), "wheel-record"),
    "RECORD of far too much": (
        wheel(listed=b"".join(b"%d,,\n" % n for n in range(10_000))),
        "wheel-record",
    ),
    "RECORD of bytes": (wheel(listed=b"\xff\xfe"), "wheel-record"),
    "RECORD with an open quote": (wheel(listed=b'"a'), "wheel-record"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_attack_is_refused(attack: str) -> None:
    data, code = ATTACKS[attack]
    assert set(codes(data, WHEEL_NAME)) == {code}


def test_top_folder_is_kept() -> None:
    assert "tiny_env/core.py" in open_archive(wheel(), WHEEL_NAME).files
