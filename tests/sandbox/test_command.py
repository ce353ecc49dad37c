"""`manage.py sandbox`: one file under the profile of evaluations, and how it ended."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from graders.sandbox.slots import Slots

from .support import DRIVERS, traces

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A data folder of its own, made once: bubblewrap's root takes a while."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def command(data):
    def start(*words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, ROOT / "manage.py", "sandbox", *words],
            env=os.environ | {"PRACTICUM_DATA": str(data)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture
def run(command):
    def end(*words: str) -> tuple[int, str, str]:
        process = command(*words)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    return end


@pytest.fixture
def script(tmp_path):
    def write(code: str) -> str:
        path = tmp_path / "attack.py"
        path.write_text(code)
        path.chmod(0o644)
        return str(path)

    return write


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_file_runs_with_its_arguments_and_its_exit_code(run, script, driver):
    file = script("import sys; print(*sys.argv); print('oh', file=sys.stderr); sys.exit(7)")
    code, out, err = run("--driver", driver, "--", file, "--one", "two")
    assert (code, out) == (7, "/env/attack.py --one two\n")
    assert err.startswith(f"oh\n{driver}: exited, exit code 7, ")


@pytest.mark.parametrize("driver", DRIVERS)
def test_json_says_how_it_ended(run, script, driver):
    file = script(
        "import os, time; os.write(1, b'x' * 3_000_000); os.write(2, b'abc'); time.sleep(1)"
    )
    code, out, _ = run("--driver", driver, "--json", file)
    said = json.loads(out)
    assert code == 0
    assert (said["driver"], said["reason"], said["exit"]) == (driver, "exited", 0)
    assert (said["stdout_bytes"], said["stderr_bytes"], said["stderr"]) == (3_000_000, 3, "abc")
    assert "bytes dropped" in said["stdout"]
    assert len(said["stdout"]) < 1_100_000
    assert 1 < said["seconds"] < 30
    assert 1 < said["peak_memory_mb"] < 100


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize(
    ("code", "status", "reason"),
    [
        ("import time; time.sleep(60)", 124, "timeout"),
        ("hog = []\nwhile True: hog.append(bytearray(8 << 20))", 137, "out_of_memory"),
        ("import os\nwhile True: os.write(1, b'x' * 65536)", 136, "output_limit"),
    ],
)
def test_other_endings_have_codes_of_their_own(run, script, driver, code, status, reason):
    options = ("--driver", driver, "--timeout", "4", "--memory", "64", "--json")
    returned, out, _ = run(*options, "--", script(code))
    assert (returned, json.loads(out)["reason"]) == (status, reason)


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_nothing(command, script, data, driver, number):
    file = script("print('up', flush=True); import time; time.sleep(600)")
    process = command("--driver", driver, "--", file)
    assert process.stdout.readline() == "up\n"
    began = time.monotonic()
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert f"{driver}: killed" in err
    assert time.monotonic() - began < 10
    assert traces(Slots(data / "sandbox").owner) == ([], [], [])


def test_bad_input_is_one_clear_line(run, script, tmp_path):
    closed = tmp_path / "closed.py"
    closed.write_text("pass")
    closed.chmod(0o600)
    for words, message in [
        ([str(tmp_path / "gone.py")], "is not a file"),
        ([str(tmp_path)], "is not a file"),
        ([str(closed)], "chmod o+rX it"),
        (["--memory", "0", script("pass")], "Limits.memory_mb must be above 0"),
    ]:
        code, out, err = run("--driver", "bubblewrap", *words)
        assert (code, out) == (2, "")
        assert message in err
        assert err.count("\n") == 1
    code, _, err = run("--driver", "podman", script("pass"))
    assert code == 2
    assert "invalid choice: 'podman'" in err


def test_no_sandbox_is_said(run, script, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    code, _, err = run("--driver", "docker", script("pass"))
    assert code == 125
    assert "no Docker daemon can be used" in err
