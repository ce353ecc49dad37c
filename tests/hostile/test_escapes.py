"""Ways out and leaks: each is tried inside both drivers. test_bites.py shows that they bite."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sandbox.support import IMAGE

from .attacks import ATTACKS
from .support import Host, readable_copy

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures("host_unchanged")
Outcomes = dict[str, dict[str, object]]


@pytest.fixture(scope="module")
def inside(host: Host, sandbox, tmp_path_factory: pytest.TempPathFactory, state_dir) -> Outcomes:
    """What came of every attack, all carried out in one run beside another."""
    folder = readable_copy(tmp_path_factory.mktemp("attacks") / "bundle")
    facts = host.facts | {"env": "/env", "victim": "/env/victim", "neighbour_watches": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.hostile.worker", sandbox.name, IMAGE, state_dir, folder],
        input=json.dumps(facts),
        env=host.environ,
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["ending"] == ["exited", 0, ""]
    assert (folder / "victim").read_text() == "untouched"
    assert {path.name for path in folder.iterdir()} == {"attacks", "victim"}
    return answer["outcomes"]


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_held(inside: Outcomes, name: str):
    assert inside[name]["held"] is True, inside[name]["said"]


def test_there_are_enough_attacks():
    assert len(ATTACKS) >= 60
