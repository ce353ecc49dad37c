"""Environments of one upload: one of them is locked, and all are built from that lock."""

from collections.abc import Callable

import pytest

from environments import services as catalogue
from environments.models import Environment, Version
from graders import jobs
from graders.beating import Heartbeat
from graders.pipeline import building, bundles
from tests.bundling.packages import wheel
from tests.bundling.versions import stored_version
from tests.factories import make_evaluation, make_user
from tests.racing import at_once

Sibling = Callable[..., Version]


@pytest.fixture
def sibling(db) -> Sibling:
    """Makes one more environment of the same upload."""
    owner = make_user()

    def make(**fields: object) -> Version:
        return stored_version("plain>=1", package="held", **{"owner": owner} | fields)

    return make


@pytest.fixture
def build(served, store, settings, monkeypatch) -> Callable[[Version], str]:
    """Carries out the build job of a new evaluation. Returns the lock that came of it."""
    settings.PACKAGE_INDEX_URL = served.url
    monkeypatch.setattr(bundles, "store", lambda: store)
    served.add(*wheel("plain"))

    def run(version: Version) -> str:
        evaluation = make_evaluation(version)
        held = jobs.claim("build", worker="test")
        assert held is not None
        building.run(held, Heartbeat(held))
        jobs.cancel_all(evaluation)  # what would follow
        version.refresh_from_db()
        return version.lock

    return run


def test_the_second_takes_the_lock_of_the_first(sibling, build, served) -> None:
    lock = build(sibling())
    assert "plain==1.0 " in lock
    served.add(*wheel("plain", "2.0"))
    served.seen.clear()
    assert build(sibling(format="gymnasium")) == lock
    assert served.seen == [], "nothing is asked of the index again"


@pytest.mark.parametrize(
    "other",
    [
        {"owner": "bob"},
        {"sha256": "0" * 64},
        {"format": "verifiers-v0"},
        {"python": "3.9"},
        {"dependencies": ["plain>=0"]},
    ],
    ids=lambda other: next(iter(other)),
)
def test_a_lock_is_only_for_who_needs_the_same(sibling, build, served, other) -> None:
    first = sibling()
    build(first)
    if "owner" in other:
        Environment.objects.filter(pk=first.environment_id).update(owner=make_user("bob"))
    else:
        Version.objects.filter(pk=first.pk).update(**other)
    served.add(*wheel("plain", "2.0"))
    assert "plain==2.0 " in build(sibling())


def test_a_lock_that_is_kept_stays_whatever_the_siblings_have(sibling) -> None:
    first, second = sibling(), sibling()
    assert catalogue.keep_build(version=first, lock="one", python="3.11") == "one"
    Version.objects.filter(pk=second.pk).update(lock="two", python="3.11")
    assert catalogue.keep_build(version=second, lock="two", python="3.11") == "two"
    assert catalogue.keep_build(version=first, lock="one", python="3.11") == "one"


@pytest.mark.django_db(transaction=True)
def test_siblings_that_are_locked_at_the_same_moment_have_one_lock(sibling) -> None:
    turns = iter([(sibling(), f"# lock {number}\n") for number in range(8)])

    def keep() -> str:
        version, lock = next(turns)
        return catalogue.keep_build(version=version, lock=lock, python="3.11")

    kept = set(at_once(8, keep))
    assert len(kept) == 1
    assert set(Version.objects.values_list("lock", flat=True)) == kept
