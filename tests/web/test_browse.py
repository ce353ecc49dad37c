"""Browse: search, facets, order, paging, and that its cost does not grow."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from environments.models import Headline, Version
from environments.states import Review, Status
from graders.models import Evaluation
from hub.accounts.models import User
from tests.factories import make_version
from tests.web.conftest import measure, publish

pytestmark = pytest.mark.django_db
BROWSE = "/environments/"


def names(client: Client, **query: object) -> list[str]:
    page = client.get(BROWSE, query).context["page"]
    return [environment.name for environment in page]


def headline(version: Version, signal: float | None, pass_at_1: float = 0.5) -> Headline:
    spread = {"low": 0.9, "high": 1.1}
    values = {"mean_reward": 0.5, "pass_at_1": pass_at_1, "signal": signal, "vs2": 3.0}
    fields: dict[str, object] = dict(values)
    for name, value in values.items():
        for end, factor in spread.items():
            fields[f"{name}_{end}"] = None if value is None else value * factor
    return Headline.objects.create(
        version=version,
        measured=version.created,
        model="m",
        tasks=8,
        rollouts=8,
        group=8,
        **fields,
    )


def test_only_public_environments_are_listed(client: Client, ada: User) -> None:
    publish(ada, "shown", domains=["logic"])
    make_version(ada)
    assert names(client) == ["shown"]


def test_sorted_by_the_lower_bound_of_signal_and_unmeasured_last(client: Client, ada: User) -> None:
    headline(publish(ada, "weak"), 0.2)
    publish(ada, "unmeasured")
    headline(publish(ada, "strong"), 0.8)
    headline(publish(ada, "no-groups"), None)
    assert names(client)[:2] == ["strong", "weak"]
    assert set(names(client)[2:]) == {"unmeasured", "no-groups"}
    assert names(client, sort="name") == ["no-groups", "strong", "unmeasured", "weak"]


def test_facets_narrow_and_count_what_they_would_give(client: Client, ada: User) -> None:
    publish(ada, "a", domains=["logic", "games"], format="dataset")
    publish(ada, "b", domains=["logic"], format="gymnasium")
    publish(ada, "c", domains=["code"], format="dataset")
    assert names(client, domain="logic", sort="name") == ["a", "b"]
    assert names(client, domain=["logic", "games"]) == ["a"]
    assert names(client, format=["dataset", "gymnasium"], sort="name") == ["a", "b", "c"]
    facets = dict(client.get(BROWSE, {"domain": "logic", "format": "dataset"}).context["facets"])
    assert {c.label: c.count for c in facets["Domain"]} == {"games": 1, "logic": 1}
    assert {c.label: c.count for c in facets["Format"]} == {"dataset": 1, "gymnasium": 1}
    (logic,) = [c for c in facets["Domain"] if c.label == "logic"]
    assert logic.is_chosen
    assert "domain=logic" not in logic.address
    assert "format=dataset" in logic.address


def test_bands_of_difficulty(client: Client, ada: User) -> None:
    headline(publish(ada, "hard"), 0.2, pass_at_1=0.1)
    headline(publish(ada, "easy"), 0.4, pass_at_1=0.9)
    publish(ada, "unmeasured")
    assert names(client, p_max="0.2") == ["hard"]
    assert names(client, p_min="0.8") == ["easy"]
    assert names(client, signal_min="0.3") == ["easy"]


def test_a_band_that_is_no_number_is_said_and_left_out(client: Client, ada: User) -> None:
    publish(ada, "one")
    answer = client.get(BROWSE, {"p_min": "often", "sort": "nonsense", "page": "nine"})
    assert [e.name for e in answer.context["page"]] == ["one"]
    assert "p_min: Enter a number" in answer.content.decode()


def test_search_finds_words_and_misspelt_names(client: Client, ada: User) -> None:
    publish(ada, "mini-sudoku", summary="Fill a grid")
    publish(ada, "train-times", summary="Find the connection")
    assert names(client, q="grids") == ["mini-sudoku"]
    assert names(client, q="mini-sudoko") == ["mini-sudoku"]
    assert names(client, q='"unfinished -') == []


def test_pages_have_real_links_and_keep_the_state(client: Client, ada: User) -> None:
    for number in range(31):
        publish(ada, f"env-{number:02}", domains=["logic"])
    first = client.get(BROWSE, {"domain": "logic", "sort": "name"})
    assert 'rel="next" href="?domain=logic&amp;sort=name&amp;page=2"' in first.content.decode()
    second = client.get(BROWSE, {"domain": "logic", "sort": "name", "page": 2})
    assert [e.name for e in second.context["page"]] == ["env-30"]


def test_htmx_gets_the_part_and_a_restored_page_the_whole(client: Client, ada: User) -> None:
    publish(ada, "one")
    part = client.get(BROWSE, headers={"HX-Request": "true"})
    assert "<html" not in part.content.decode()
    assert 'id="browse"' in part.content.decode()
    assert "HX-Request" in part["Vary"]
    whole = client.get(BROWSE, headers={"HX-Request": "true", "HX-History-Restore-Request": "true"})
    assert "<html" in whole.content.decode()


def test_the_number_of_queries_is_constant(client: Client, ada: User) -> None:
    def queries(path: str) -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            assert client.get(path).status_code == 200
        return len(captured)

    def all_pages() -> list[int]:
        return [queries(path) for path in (BROWSE, f"{BROWSE}?q=env&domain=logic", "/", "/ada/")]

    headline(publish(ada, "env-a", domains=["logic"], strategies=["x"]), 0.5)
    few = all_pages()
    for number in range(12):
        version = publish(ada, f"env-{number}", domains=["logic", f"d{number}"], strategies=["x"])
        if number % 2:
            headline(version, 0.5)
    assert all_pages() == few
    assert max(few) <= 10


def test_an_empty_hub_teaches(client: Client, db) -> None:
    assert "No environments yet" in client.get(BROWSE).content.decode()
    assert "Nothing fits" in client.get(BROWSE, {"q": "zzz"}).content.decode()
    assert client.get("/").status_code == 200


def test_home_maps_domains_by_strategies(client: Client, measured: Evaluation, ada: User) -> None:
    publish(ada, "other", domains=["logic"], strategies=["verification", "backtracking"])
    make_version(ada, domains=["hidden"], strategies=["hidden"])
    context = client.get("/").context
    assert context["map"]["columns"] == ["backtracking", "verification"]
    assert dict(context["map"]["rows"]) == {
        "logic": [("backtracking", 1), ("verification", 1)],
        "mathematics": [("backtracking", 0), ("verification", 1)],
    }
    assert context["totals"] == {"environments": 2, "measured": 1, "tasks": 4, "rollouts": 16}


def test_an_owner_sees_what_waits_and_others_do_not(client: Client, ada: User) -> None:
    publish(ada, "public")
    hidden = make_version(ada, status=Status.FAILED, fault="It broke.")
    page = client.get("/ada/").content.decode()
    assert "public" in page
    assert hidden.environment.name not in page
    client.force_login(ada)
    page = client.get("/ada/").content.decode()
    assert hidden.environment.name in page
    assert "evaluate again, or upload a fixed version" in page


def test_addresses_of_owners_never_hide_fixed_ones(client: Client, db) -> None:
    for name in ("home", "browse", "upload", "healthz", "readyz", "api-docs"):
        assert client.get(reverse(name)).resolver_match.url_name == name
    assert client.get("/nobody/").status_code == 404


def test_a_rejected_latest_version_gives_way_to_the_one_before(client: Client, ada: User) -> None:
    from environments import services

    old = publish(ada, "sums", "1.0.0", summary="old")
    new = publish(ada, "sums", "2.0.0", summary="new")
    services.decide(version=new, review=Review.REJECTED, actor=None, reason="No.")
    page = client.get(BROWSE).content.decode()
    assert "old" in page
    assert client.get(old.environment.get_absolute_url()).context["version"] == old


def test_measured_rows_show_value_and_interval(client: Client, ada: User) -> None:
    version = publish(ada, "sums")
    measure(version)
    found = version.headline
    page = client.get(BROWSE).content.decode()
    assert f"<b>{found.signal:.2f}</b>" in page
    assert f"[{found.signal_low:.2f}, {found.signal_high:.2f}]" in page
