"""Bundles of real libraries: what a start imports has bytecode, but for the little that no import
instruction shows."""

import json

import pytest

from graders.link import ENV, RUNNER
from graders.sandbox import EndReason, Limits, Mount, Spec

pytestmark = pytest.mark.index

# What the runner imports from the bundle when it loads, and what of that has no bytecode.
LOOK = """
import json, os, sys; sys.path.insert(0, "/opt")
from practicum_runner.loading import extend_path, load
told = json.loads(sys.argv[1])
extend_path(told["paths"])
load(told["entry"], told["args"], told["format"], told["range"], print).tasks()
specs = [getattr(module, "__spec__", None) for module in list(sys.modules.values())]
own = {spec.origin: spec.cached for spec in specs if spec and spec.has_location and spec.cached}
own = {path: kept for path, kept in own.items() if path.startswith("/env/")}
bare = [path for path, kept in own.items() if not os.path.exists(kept)]
sys.stdout.write("\\n" + json.dumps([len(own), bare]))
sys.stdout.flush()
os._exit(0)
"""


@pytest.mark.parametrize(
    ("project", "least", "share"),
    [
        ("gymnasium", 100, 0.03),
        ("reasoning-gym", 900, 0.01),
        ("skyrl-gym", 500, 0.06),
        ("verifiers-v0", 4000, 0.01),
    ],
)
def test_nearly_all_of_a_start_has_bytecode(bundled, walls, project, least, share):
    terms = bundled(project).launch()
    told = {"entry": terms.entry, "args": terms.args, "format": terms.format}
    told |= {"paths": terms.paths, "range": terms.reward_range}
    argv = ("python3", "-s", "-P", "-B", "-u", "-c", LOOK, json.dumps(told))
    mounts = (Mount(terms.bundle, "/env"), Mount(RUNNER, "/opt/practicum_runner"))
    spec = Spec("look", argv, mounts, Limits(seconds=120, memory_mb=1024), env=ENV)
    with walls.start(spec) as running:
        said = b"".join(iter(running.receive, b"")).decode()
        ending = running.wait()
    assert (ending.reason, ending.exit_code) == (EndReason.EXITED, 0), ending.stderr
    imported, bare = json.loads(said.splitlines()[-1])
    assert imported >= least
    assert len(bare) <= share * imported, bare
