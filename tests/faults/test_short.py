"""The short form of the fault run: each fault once, while some thirty versions are evaluated."""

import json
import subprocess
import sys

import pytest

from hub.stack.paths import REPOSITORY
from tests.faults import __main__ as program
from tests.faults import break_engines, faults

EVALUATIONS = 25
FAULTS = {
    *faults.WORKER_FAULTS,
    *faults.UPLOAD_FAULTS,
    *break_engines.FAULTS,
    *break_engines.DOCKER_FAULTS,
}
LIMIT_S = 420  # it takes about 150 s on two cores that nobody else uses


@pytest.mark.docker
@pytest.mark.root
@pytest.mark.timeout(LIMIT_S + 30)
def test_nothing_is_lost() -> None:
    options = ["--evaluations", str(EVALUATIONS), "--seed", "1", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults", *options],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.stdout.startswith("{"), done.stderr[-4000:]
    report = json.loads(done.stdout)
    violated = {
        check["name"]: check["violations"] for check in report["checks"] if check["violations"]
    }
    assert not violated, f"{violated}\nlogs: {program.KEPT}\n{done.stderr[-4000:]}"
    assert done.returncode == 0
    assert all(check["checked"] for check in report["checks"])
    assert all(fault["injected"] for fault in report["faults"])
    assert {fault["name"] for fault in report["faults"]} == FAULTS
    assert sum(report["evaluations"].values()) >= EVALUATIONS
