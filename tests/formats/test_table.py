"""The table of formats says what the tests prove, and the tests prove enough."""

import pytest

from graders.runner.formats import ADAPTERS
from tests.formats.table import CLAIMS, PAGE, page, proofs


def test_the_page_is_as_generated() -> None:
    assert PAGE.read_text() == page(), "run: python -m tests.formats.table"


def test_claims_are_of_known_formats_and_abilities() -> None:
    assert {form for form, _ in proofs()} <= set(ADAPTERS)
    assert {ability for _, ability in proofs()} <= set(CLAIMS)


@pytest.mark.parametrize("form", ADAPTERS)
def test_each_format_is_recognised_driven_and_evaluated(form: str) -> None:
    proven = {ability for name, ability in proofs() if name == form}
    assert {"recognised", "evaluated"} <= proven
    assert proven & {"single turn", "multi-turn"}
    assert (PAGE.parent / f"{form}.md").exists()
