"""What the catalogue knows of a format is what its adapter says."""

from environments.manifest.formats import TABLE, Format
from graders.runner.formats import ADAPTERS


def test_the_catalogue_and_the_adapters_say_the_same() -> None:
    said = {Format(one.name, one.package, one.entry, one.pins) for one in ADAPTERS.values()}
    assert said == set(TABLE)
    assert len(TABLE) == len(ADAPTERS)
