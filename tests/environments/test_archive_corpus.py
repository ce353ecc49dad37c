"""What people publish is accepted: real sdists and wheels, environments for training among them."""

from pathlib import Path

import pytest
from corpus import fetch, listed

from environments.archives import BadArchive, check

ACCEPTED = listed(Path(__file__).with_name("corpus.sha256"))

# Environments that reinforcement learning is done with, or collections of them.
ENVIRONMENTS = {
    *("fhaviary", "gymnasium", "highway_env", "minigrid", "pettingzoo", "reasoning_gym"),
    *("rlcard", "shimmy", "supersuit", "textarena", "verifiers"),
}

# Both hold pickles that import other packages: data of old releases, and built documentation.
REFUSED = {
    "joblib-1.6.0.tar.gz": "2ccc96785b12046c08fd6d55839c12857831b54a3c1673ffadd2f04bfc4eda03",
    "paramiko-5.1.0.tar.gz": "239b5f9b2a53006cd54f83cf8495ee742083708ead947882c8dd2786de79f39b",
}


@pytest.fixture(scope="session")
def folder(request: pytest.FixtureRequest) -> Path:
    """Where fetched files stay for the next time."""
    return request.config.cache.mkdir("corpus")


def test_there_are_enough_of_each() -> None:
    wheels = [name for name in ACCEPTED if name.endswith(".whl")]
    assert len(ACCEPTED) >= 20
    assert len(wheels) >= 8
    assert len(ACCEPTED) - len(wheels) >= 8
    assert {name.partition("-")[0] for name in ACCEPTED} >= ENVIRONMENTS


@pytest.mark.parametrize("name", ACCEPTED)
def test_real_package(name: str, folder: Path) -> None:
    with fetch(name, ACCEPTED[name], folder).open("rb") as file:
        archive = check(file, name)
    assert archive.sha256 == ACCEPTED[name]
    assert archive.kind == ("wheel" if name.endswith(".whl") else "tar.gz")
    assert any(path.endswith(".py") for path in archive.files)


@pytest.mark.parametrize("name", REFUSED)
def test_real_package_with_pickles(name: str, folder: Path) -> None:
    with (
        fetch(name, REFUSED[name], folder).open("rb") as file,
        pytest.raises(BadArchive) as caught,
    ):
        check(file, name)
    assert {fault.code for fault in caught.value.faults} == {"unsafe-pickle"}
