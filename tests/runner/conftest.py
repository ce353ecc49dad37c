"""Fixtures of the runner's tests."""

from pathlib import Path

import pytest

from tests.runner.bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    return Bench(tmp_path, bundle)
