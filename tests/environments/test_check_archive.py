"""`manage.py check_archive`, which has no database here: a query would be an error."""

import json
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from making import PROJECT, WHEEL_NAME, Raw, plain_tar, plain_zip, raw_zip, wheel

from environments.archives import check

GOOD = plain_tar(PROJECT, "tiny-1.0/")
BAD = raw_zip(Raw(b"../up.py"), Raw(b"p/d.so"), Raw(b"p/a.py", flags=1))
NO_TABLE = plain_zip({"pyproject.toml": b"[project]\nname = 'tiny'\n", "a.py": b""})


def put(folder: Path, **files: bytes) -> list[str]:
    paths = [folder / name.replace("__", ".") for name in files]
    for path, data in zip(paths, files.values(), strict=True):
        path.write_bytes(data)
    return [str(path) for path in paths]


def run(*args: str) -> tuple[int, str, str]:
    """The exit code and what was printed to standard output and error."""
    out, err = StringIO(), StringIO()
    try:
        call_command("check_archive", *args, stdout=out, stderr=err)
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


def test_accepted(tmp_path: Path) -> None:
    [path] = put(tmp_path, env__tar__gz=GOOD)
    said = f"{path}: accepted, tar.gz, 4 files, {len(GOOD)} bytes\n"
    made = "tiny-env 1.0, a format found out when it is run, made by tiny_env.core:make"
    assert run(path) == (0, f"{said}{path}: {made}\n", "")


def test_every_fault_is_a_line(tmp_path: Path) -> None:
    [path] = put(tmp_path, env__zip=BAD)
    code, out, _ = run(path)
    lines = out.splitlines()
    assert code == 1
    assert all(line.startswith(f"{path}: ") for line in lines)
    found = [tuple(line.removeprefix(f"{path}: ").split(": ")[:2]) for line in lines]
    assert sorted(found) == [
        ("encrypted", "p/a.py"),
        ("name-escapes", "../up.py"),
        ("native-code", "p/d.so"),
    ]


def test_problems_of_a_sound_archive(tmp_path: Path) -> None:
    [path] = put(tmp_path, env__zip=NO_TABLE)
    code, out, _ = run(path)
    assert code == 1
    assert f"{path}: manifest: project.version: " in out
    assert f"{path}: manifest: tool.practicum.entry: " in out


def test_several_files(tmp_path: Path) -> None:
    good, bad = put(tmp_path, env__tar__gz=GOOD, env__zip=BAD)
    missing, folder = str(tmp_path / "no.zip"), str(tmp_path)
    assert run(good, bad)[0] == 1
    code, out, err = run(good, missing, bad, folder)
    assert code == 2
    assert f"{missing}: cannot be read: No such file" in err
    assert f"{folder}: cannot be read: Is a directory" in err
    assert f"{good}: accepted" in out
    assert f"{bad}: name-escapes" in out, "one file that cannot be read does not hide the others"


def test_json(tmp_path: Path) -> None:
    good, bad = put(tmp_path, env__tar__gz=GOOD, env__zip=BAD)
    missing = str(tmp_path / "no.zip")
    code, out, _ = run("--json", good, bad, missing)
    first, second, third = json.loads(out)
    assert code == 2
    with Path(good).open("rb") as file:
        sha256 = check(file, good).sha256
    assert first == {
        "file": good,
        "accepted": True,
        "error": None,
        "faults": [],
        "kind": "tar.gz",
        "sha256": sha256,
        "size": len(GOOD),
        "files": 4,
        "environments": [
            {
                "name": "tiny-env",
                "version": "1.0",
                "format": None,
                "entry": "tiny_env.core:make",
                "args": {},
            }
        ],
    }
    assert (second["accepted"], second["error"]) == (False, None)
    assert {fault["code"] for fault in second["faults"]} >= {"name-escapes", "encrypted"}
    assert set(second["faults"][0]) == {"code", "member", "message"}
    assert third["error"] == "No such file or directory"


@pytest.mark.parametrize(("name", "code"), [(WHEEL_NAME, 0), ("renamed-9-py3-none-any.whl", 1)])
def test_from_a_shell_without_services(tmp_path: Path, name: str, code: int) -> None:
    """As a contributor runs it: no PostgreSQL, no Valkey, nothing started."""
    path = tmp_path / name
    path.write_bytes(wheel())
    command = [sys.executable, "manage.py", "check_archive", str(path)]
    env = {"PATH": "/usr/bin:/bin", "PRACTICUM_DATA": str(tmp_path / "data")}
    done = subprocess.run(
        command, cwd=settings.BASE_DIR, env=env, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (code, "")
    assert done.stdout.startswith(f"{path}: ")
