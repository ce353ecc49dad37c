"""The attacks of test_escapes.py without a sandbox, where they have to get through."""

import json
import os
import subprocess
import sys

import pytest

from graders.link import PYTHON

from .attacks import ATTACKS
from .support import Host, readable_copy
from .worker import ATTACK, neighbour

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root gets through everywhere")
Outcomes = dict[str, dict[str, object]]


@pytest.fixture(scope="module")
def outside(host: Host, tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """The same attacks as root without a sandbox, but for those that would do harm."""
    folder = readable_copy(tmp_path_factory.mktemp("attacks") / "bundle")
    facts = host.facts | {"neighbour_watches": "0"}
    facts |= {"env": str(folder), "victim": str(folder / "victim")}
    names = [name for name, one in ATTACKS.items() if one.outside]
    code = ATTACK.format(folder=str(folder), names=names)
    left_open = os.open("/etc/passwd", os.O_RDONLY)
    beside = subprocess.Popen(
        [sys.executable, *neighbour(facts, str(folder))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with beside:
        assert beside.stdout is not None
        assert beside.stdout.readline() == b"up\n"
        done = subprocess.run(
            [sys.executable, *PYTHON[1:], "-c", code],
            input=json.dumps(facts),
            env=host.environ,
            capture_output=True,
            text=True,
            check=False,
            pass_fds=[left_open],
        )
    os.close(left_open)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", [name for name, one in ATTACKS.items() if one.outside])
def test_an_attack_gets_through_without_a_sandbox(outside: Outcomes, name: str):
    got = outside[name]
    lacking = ATTACKS[name].may_lack and got["held"]
    assert got["held"] is False or lacking, got["said"]


def test_most_attacks_have_been_seen_to_get_through(outside: Outcomes):
    through = [name for name, got in outside.items() if got["held"] is False]
    assert len(through) >= 0.75 * len(ATTACKS)
