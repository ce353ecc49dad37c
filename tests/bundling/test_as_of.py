"""Dependencies as the index had them when the version was uploaded."""

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from graders.bundling.index import Index, default_url
from graders.bundling.limits import BuildLimits
from graders.errors import EnvironmentFault
from graders.sandbox.bubblewrap import Bubblewrap
from tests.bundling.packages import PYPROJECT, sdist, wheel

UPLOADED = datetime(2024, 6, 1, 12, 0, 0, 123456, tzinfo=UTC)
BEFORE, AFTER = "2024-05-31T23:00:00.5Z", "2024-06-02T00:00:00Z"


@pytest.fixture
def sandbox(state_dir):
    """What uv is told is the same under both drivers; one will do."""
    return Bubblewrap(state_dir)


def test_what_came_later_does_not_count(served, make_stock, resolve):
    served.add(*wheel("demo", "1.0", requires=("inner",)), upload_time=BEFORE)
    served.add(*wheel("demo", "2.0"), upload_time=AFTER)
    served.add(*wheel("inner", "1.0"), upload_time=BEFORE)
    served.add(*wheel("inner", "1.1"), upload_time=(UPLOADED + timedelta(seconds=1)).isoformat())
    found = resolve(["demo"], make_stock(), as_of=UPLOADED)
    assert [str(one).split()[0] for one in found] == ["demo==1.0", "inner==1.0"]
    found = resolve(["demo"], make_stock(), as_of=UPLOADED + timedelta(days=1))
    assert [str(one).split()[0] for one in found] == ["demo==2.0"]


def test_nor_does_a_wheel_that_was_added_to_an_old_release(served, make_stock, resolve):
    archive = served.add(*sdist("demo"), upload_time=BEFORE)
    served.add(*wheel("demo"), upload_time=AFTER)
    (found,) = resolve(["demo"], make_stock(), as_of=UPLOADED)
    assert found.built_from == archive


def test_nor_does_what_a_build_needs(served, make_stock, resolve):
    requires = PYPROJECT.replace("requires = []", 'requires = ["tool"]').encode()
    served.add(*wheel("tool", "1.0", {"tool.py": b"AGE = 'old'"}), upload_time=BEFORE)
    served.add(*wheel("tool", "2.0", {"tool.py": b"AGE = 'new'"}), upload_time=AFTER)
    code = "import tool\nassert tool.AGE == 'old', tool.AGE"
    served.add(*sdist("demo", code=code, files={"pyproject.toml": requires}), upload_time=BEFORE)
    (found,) = resolve(["demo"], make_stock(), as_of=UPLOADED)
    assert found.built_from


@pytest.mark.parametrize("as_html", [True, False])
def test_an_index_without_times_has_old_files_only(served, make_stock, resolve, as_html):
    served.as_html = as_html
    served.add(*wheel("demo", "1.0"))
    served.add(*wheel("demo", "2.0"))
    (found,) = resolve(["demo"], make_stock(), as_of=UPLOADED)
    assert found.version == "2.0"


@pytest.mark.parametrize("time", ["yesterday", 7, [], "2024-99-01T00:00:00Z", "0001-01-01", ""])
def test_a_time_that_is_none_is_long_ago(served, make_stock, resolve, time):
    served.add(*wheel("demo", "1.0"), upload_time=time)
    (found,) = resolve(["demo"], make_stock(), as_of=UPLOADED)
    assert found.version == "1.0"


def test_a_package_that_is_newer_than_the_upload_is_told_as_such(served, make_stock, resolve):
    served.add(*wheel("demo"), upload_time=AFTER)
    with pytest.raises(EnvironmentFault, match=r"(?s)cannot be installed.*demo.*2024-06-01"):
        resolve(["demo"], make_stock(), as_of=UPLOADED)


def test_times_of_any_zone_are_compared(served, make_index):
    served.add(*wheel("demo"), upload_time="2024-06-01T14:00:00+02:00")
    (file,) = make_index().files("demo")
    assert file.listed["upload-time"] == "2024-06-01T12:00:00+00:00"


@pytest.mark.index
def test_the_real_index_as_it_was(resolve, make_stock):
    """In June 2024 the newest release of this package was 24.1; 24.2 is of August."""
    with closing(Index(default_url(), BuildLimits())) as index:
        stock = replace(make_stock(), index=index)
        (found,) = resolve(["packaging"], stock, as_of=datetime(2024, 6, 30, tzinfo=UTC))
    assert found.version == "24.1"
