"""What the catalogue knows of a format is what its adapter says."""

import pytest

from environments.manifest.formats import TABLE, Format
from graders.runner.formats import ADAPTERS
from graders.runner.formats.base import Adapter

OF_LIBRARIES = [one for one in ADAPTERS.values() if one.package]


def test_every_adapter_can_be_named() -> None:
    assert set(ADAPTERS) <= {one.name for one in TABLE}


@pytest.mark.parametrize("adapter", OF_LIBRARIES, ids=lambda one: one.name)
def test_a_librarys_adapter_is_as_the_catalogue_has_it(adapter: type[Adapter]) -> None:
    said = Format(adapter.name, adapter.package, adapter.entry, adapter.pins)
    assert said in TABLE
