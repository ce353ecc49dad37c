"""Packages of the real index that have no wheel: built, unpacked and used, under both drivers."""

import fcntl
import os
from pathlib import Path

import pytest

from graders.bundling import lock, toolchain
from graders.bundling.store import Store
from graders.pipeline import bundles
from tests.bundling.versions import build, run_inside, stored_version

pytestmark = [pytest.mark.django_db, pytest.mark.index]

USE = """
import json, cellpylib, pycosat
automaton = cellpylib.init_simple(9)
print(json.dumps([
    pycosat.solve([[1, -5, 4], [-1, 5, 3, 4], [-3, -4]]),
    cellpylib.evolve(automaton, 3, lambda n, c, t: cellpylib.nks_rule(n, 30)).tolist()[-1],
]))
"""


@pytest.fixture(scope="session")
def real_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """One store for all workers of a run, so that the compiler is fetched once."""
    base = tmp_path_factory.getbasetemp()
    root = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "real-store"
    store = Store(root, 4 << 30)
    with Path(f"{root}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(bundles, "store", lambda: store)
            with bundles._stock() as stock, toolchain.mount(stock, lambda: None):
                pass
    return store


@pytest.fixture(autouse=True)
def _real(real_store, monkeypatch):
    monkeypatch.setattr(bundles, "store", lambda: real_store)


@pytest.mark.timeout(600)
def test_sources_of_python_and_of_c_are_built_and_used(sandbox):
    """Bubblewrap resolves all that reasoning-gym needs, which these are a part of."""
    wanted = ["cellpylib==2.4.0", "pycosat==0.6.6"]
    if sandbox.name == "bubblewrap":
        wanted.append("reasoning-gym==0.1.23")
    version = build(stored_version(*wanted), sandbox)
    locked = {one.name: one for one in lock.read(version.lock)}
    assert ("reasoning-gym" in locked) == (len(wanted) == 3)
    assert {"cellpylib", "pycosat"} <= {one.name for one in locked.values() if one.built_from}
    assert f"cp{version.python.replace('.', '')}" in locked["pycosat"].filename
    with bundles.held(version, sandbox) as bundle:
        solution, row = run_inside(sandbox, bundle, USE)
    assert solution == [1, -2, -3, -4, 5]
    assert row == [0, 0, 1, 1, 0, 0, 1, 0, 0]
