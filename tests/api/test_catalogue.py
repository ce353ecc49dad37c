"""Reading the catalogue: who sees what, in which order, at which cost."""

import pytest
from django.contrib.postgres.search import SearchVector
from django.db import connection
from django.db.models import Value
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from environments.models import Environment, Headline, Version
from environments.states import Review, Status
from hub.accounts.models import Scope, User
from tests.api.conftest import add, client_of
from tests.factories import make_user, make_version

LIST = "/api/v1/environments/"
ENVIRONMENT = f"{LIST}ada/coins/"
VERSION = f"{ENVIRONMENT}versions/1.0.0/"
OF_A_VERSION = [ENVIRONMENT, f"{ENVIRONMENT}versions/", VERSION, f"{VERSION}archive"]


def measured(name: str, signal_low: float | None, owner: User, **fields: object) -> Version:
    """A public version, with a headline if it has a signal."""
    version = make_version(
        environment=Environment.objects.create(owner=owner, name=name),
        owner=owner,
        review=Review.APPROVED,
        **fields,
    )
    version.environment.latest = version
    version.environment.save()
    if signal_low is not None:
        values = {
            f"{measure}{end}": value
            for measure in ("mean_reward", "pass_at_1", "signal")
            for end, value in (("", signal_low + 0.1), ("_low", signal_low), ("_high", 0.99))
        }
        Headline.objects.create(
            version=version,
            measured=timezone.now(),
            model="m",
            tasks=16,
            rollouts=4,
            group=4,
            tokens=100 * signal_low,
            **values,
        )
    return version


def names(client: APIClient, query: str = "") -> list[str]:
    """The names of every page, following the cursor."""
    found, url = [], f"{LIST}?page_size=2&{query}"
    while url:
        page = client.get(url).json()
        found += [row["name"] for row in page["results"]]
        url = page["next"]
    return found


@pytest.mark.parametrize("url", OF_A_VERSION)
@pytest.mark.parametrize(
    ("who", "status"), [("anonymous", 404), ("other", 404), ("owner", 200), ("moderator", 200)]
)
def test_a_pending_version_is_for_its_owner_and_moderators(clients, pending, url, who, status):
    assert clients[who].get(url).status_code == status


@pytest.mark.parametrize("url", OF_A_VERSION)
def test_an_approved_version_is_for_everybody(clients, public, url):
    assert {client.get(url).status_code for client in clients.values()} == {200}


def test_a_pending_version_is_not_listed(clients, pending):
    listed = {who: names(client) for who, client in clients.items()}
    assert listed == {"anonymous": [], "other": [], "owner": ["coins"], "moderator": ["coins"]}


@pytest.mark.parametrize("review", [Review.REJECTED, Review.QUARANTINED])
def test_a_refused_version_is_taken_from_the_public(clients, public, review):
    Version.objects.filter(pk=public.pk).update(review=review, review_reason="It leaks.")
    assert clients["anonymous"].get(VERSION).status_code == 404
    assert clients["owner"].get(VERSION).json()["review_reason"] == "It leaks."


def test_a_token_needs_its_scopes_to_see_more(owner, moderator, pending):
    assert client_of(owner, Scope.UPLOAD).get(VERSION).status_code == 404
    assert client_of(owner, Scope.READ).get(VERSION).status_code == 200
    assert client_of(moderator, Scope.READ).get(VERSION).status_code == 404
    assert client_of(moderator, Scope.READ, Scope.MODERATE).get(VERSION).status_code == 200


def test_a_version_says_what_it_is(clients, public):
    body = clients["anonymous"].get(VERSION).json()
    expected = {
        "owner": "ada",
        "name": "coins",
        "version": "1.0.0",
        "sha256": public.sha256,
        "size": public.size,
        "kind": "tar.gz",
        "format": "gymnasium",
        "status": "uploaded",
        "review": "approved",
        "fault": None,
        "review_reason": None,
        "summary": "Coin flips to be guessed",
        "license": "MIT",
        "requires_python": ">=3.11",
        "dependencies": ["numpy>=2"],
        "tags": ["luck"],
        "domains": ["games"],
        "strategies": ["exploration"],
        "entry": "coins:make",
        "pass_threshold": 1.0,
        "reward_range": [0.0, 1.0],
        "max_turns": 3,
        "headline": None,
        "archive_url": f"http://testserver{VERSION}archive",
    }
    assert {key: body[key] for key in expected} == expected
    assert body["readme"] == "# Coins\n"


def test_why_an_evaluation_failed_is_for_owner_and_moderators(clients, public):
    Version.objects.filter(pk=public.pk).update(status=Status.FAILED, fault="ImportError: coins")
    said = {who: client.get(VERSION).json()["fault"] for who, client in clients.items()}
    text = "ImportError: coins"
    assert said == {"anonymous": None, "other": None, "owner": text, "moderator": text}


def test_an_environment_shows_its_newest_approved_version(clients, owner, public):
    add(owner, version="2.0.0")
    assert clients["owner"].get(ENVIRONMENT).json()["latest"]["version"] == "1.0.0"
    versions = clients["owner"].get(f"{ENVIRONMENT}versions/").json()["results"]
    assert [version["version"] for version in versions] == ["2.0.0", "1.0.0"]
    versions = clients["anonymous"].get(f"{ENVIRONMENT}versions/").json()["results"]
    assert [version["version"] for version in versions] == ["1.0.0"]


def test_sorted_by_signal_with_the_unmeasured_last(anonymous, owner):
    for name, low in [("a", 0.2), ("b", None), ("c", 0.5), ("d", 0.2), ("e", None), ("f", 0.0)]:
        measured(name, low, owner)
    assert names(anonymous) == ["c", "a", "d", "f", "b", "e"]
    assert names(anonymous, "sort=signal") == ["f", "a", "d", "c", "b", "e"]
    assert names(anonymous, "sort=tokens") == ["f", "a", "d", "c", "b", "e"]
    assert names(anonymous, "sort=name") == ["a", "b", "c", "d", "e", "f"]
    assert names(anonymous, "sort=-created") == ["f", "e", "d", "c", "b", "a"]


def test_pages_can_be_walked_back(anonymous, owner):
    for number in range(5):
        measured(f"env{number}", 0.5, owner)
    first = anonymous.get(f"{LIST}?page_size=2").json()
    second = anonymous.get(first["next"]).json()
    third = anonymous.get(second["next"]).json()
    assert first["previous"] is None
    assert third["next"] is None
    assert anonymous.get(third["previous"]).json()["results"] == second["results"]
    assert anonymous.get(second["previous"]).json()["results"] == first["results"]


def test_rows_added_in_between_shift_nothing(anonymous, owner):
    for number in range(4):
        measured(f"env{number}", 0.5, owner)
    first = anonymous.get(f"{LIST}?page_size=2&sort=-created").json()
    measured("late", 0.9, owner)
    second = anonymous.get(first["next"]).json()
    assert [row["name"] for row in second["results"]] == ["env1", "env0"]


@pytest.mark.parametrize("cursor", ["nonsense", "eyJ4IjoxfQ:1abc:def"])
def test_a_forged_cursor_is_refused(anonymous, cursor):
    answer = anonymous.get(f"{LIST}?cursor={cursor}")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "cursor"


def test_a_cursor_holds_only_for_its_order(anonymous, owner):
    for number in range(3):
        measured(f"env{number}", 0.5, owner)
    link = anonymous.get(f"{LIST}?page_size=2&sort=name").json()["next"]
    assert anonymous.get(link.replace("sort=name", "sort=tokens")).status_code == 400


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("q=sudoku", ["grid"]),
        ("owner=ada", ["grid", "walk"]),
        ("owner=nobody", []),
        ("tag=logic", ["grid"]),
        ("tag=logic,small", ["grid"]),
        ("tag=logic,large", []),
        ("domain=maths", ["walk"]),
        ("strategy=search", ["grid"]),
        ("format=dataset", ["walk"]),
        ("license=mit", ["grid"]),
        ("model=m", ["grid", "walk"]),
        ("p_min=0.5", ["grid"]),
        ("p_max=0.5", ["walk"]),
        ("signal_min=0.6", ["grid"]),
        ("tokens_max=50", ["walk"]),
    ],
)
def test_filters(anonymous, owner, query, expected):
    fields = {"tags": ["logic", "small"], "strategies": ["search"], "license": "MIT"}
    grid = measured("grid", 0.6, owner, format="gymnasium", **fields)
    measured("walk", 0.2, owner, domains=["maths"], format="dataset")
    measured("unmeasured", None, make_user("bo"))
    Environment.objects.filter(pk=grid.environment_id).update(
        search=SearchVector(Value("Sudoku of four rows"), config="english")
    )
    assert names(anonymous, query) == expected


@pytest.mark.parametrize(
    "query", ["p_min=x", "p_min=nan", "sort=size", "q=%00", "tag=%00", "owner=a%00"]
)
def test_filters_that_make_no_sense_are_refused(anonymous, query):
    answer = anonymous.get(f"{LIST}?{query}")
    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["errors"][0]["field"] == query.split("=")[0]


@pytest.mark.parametrize(
    "url",
    [
        f"{LIST}nobody/coins/",
        f"{LIST}ada/other/",
        f"{ENVIRONMENT}versions/9.9/",
        f"{ENVIRONMENT}versions/%00/",
        f"{ENVIRONMENT}versions/1.0.0%0A/archive",
    ],
)
def test_what_there_is_not_is_not_found(anonymous, public, url):
    answer = anonymous.get(url)
    assert answer.status_code == 404
    assert answer.json()["status"] == 404


@pytest.mark.parametrize("url", [LIST, f"{ENVIRONMENT}versions/"])
def test_lists_cost_the_same_whatever_their_length(clients, owner, url):
    def cost() -> int:
        with CaptureQueriesContext(connection) as counted:
            assert clients["moderator"].get(url).json()["results"]
        return len(counted)

    add(owner, approve=True)
    before = cost()
    for number in range(2, 6):
        add(owner, version=f"{number}.0.0", approve=True)
        measured(f"more{number}", 0.1 * number, make_user())
    assert cost() == before
