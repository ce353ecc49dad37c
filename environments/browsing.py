"""What the browse page and the front page ask of the catalogue. A fixed number of queries each."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from django.db import connection
from django.db.models import Count, F, Func, Q, QuerySet, Sum

from environments.models import Environment
from environments.queries import published, search

# Facets by the name they have in the address, with the field of the latest version.
FACETS: Final = {
    "domain": "domains",
    "strategy": "strategies",
    "tag": "tags",
    "format": "format",
    "license": "license",
}
LISTS: Final = frozenset({"domain", "strategy", "tag"})

_SIGNAL = "latest__headline__signal_low"
SORTS: Final[dict[str, tuple[str, Any]]] = {
    "relevance": ("best match", F("best").desc()),
    "-signal": ("signal", F(_SIGNAL).desc(nulls_last=True)),
    "-created": ("newest", F("latest__created").desc()),
    "vs2": ("diversity", F("latest__headline__vs2_low").desc(nulls_last=True)),
    "tokens": ("fewest tokens", F("latest__headline__tokens").asc(nulls_last=True)),
    "name": ("name", F("name").asc()),
}

_CELLS = """
select domain, strategy, count(*)
from environments_environment environment
join environments_version version on version.id = environment.latest_id,
unnest(version.domains) domain, unnest(version.strategies) strategy
group by domain, strategy
"""


@dataclass(frozen=True)
class Wish:
    """What somebody looks for. `chosen` has the values of each facet."""

    q: str = ""
    chosen: dict[str, tuple[str, ...]] = field(default_factory=dict)
    p_min: float | None = None
    p_max: float | None = None
    signal_min: float | None = None
    sort: str = ""

    @property
    def order(self) -> str:
        """How to sort: as asked, else by relevance if there is a text, else by signal."""
        if self.sort and (self.q or self.sort != "relevance"):
            return self.sort
        return "relevance" if self.q else "-signal"

    def without(self, facet: str) -> "Wish":
        return replace(self, chosen={k: v for k, v in self.chosen.items() if k != facet})


def matching(wish: Wish) -> QuerySet[Environment]:
    """The published environments that fit, unsorted. Several values of a list must all be there;
    of the others any one."""
    found = published()
    for facet, values in wish.chosen.items():
        if values:
            lookup = "contains" if facet in LISTS else "in"
            found = found.filter(**{f"latest__{FACETS[facet]}__{lookup}": list(values)})
    return (
        search(found.filter(_measured(wish)), wish.q) if wish.q else found.filter(_measured(wish))
    )


def _measured(wish: Wish) -> Q:
    asked = {
        "latest__headline__pass_at_1__gte": wish.p_min,
        "latest__headline__pass_at_1__lte": wish.p_max,
        f"{_SIGNAL}__gte": wish.signal_min,
    }
    return Q(**{key: value for key, value in asked.items() if value is not None})


def in_order(wish: Wish) -> QuerySet[Environment]:
    """The environments that fit, sorted, ties always the same way."""
    _, order = SORTS[wish.order]
    return matching(wish).order_by(order, "owner__username", "name")


def counted(wish: Wish, facet: str) -> list[tuple[str, int]]:
    """How many fit for each value of a facet, the commonest first. For a facet of which any value
    fits, its own choice is left aside: the counts say what another choice would give."""
    name = f"latest__{FACETS[facet]}"
    value: F | Func[Any]
    if facet in LISTS:
        found, value = matching(wish), Func(F(name), function="unnest", set_returning=True)
    else:
        found, value = matching(wish.without(facet)).exclude(**{name: ""}), F(name)
    rows: Iterable[tuple[str, int]] = (
        found.select_related(None)
        .order_by()
        .annotate(facet_value=value)
        .values("facet_value")
        .annotate(count=Count("pk"))
        .values_list("facet_value", "count")
        .order_by("-count", "facet_value")
    )
    return list(rows)


def newest(count: int) -> QuerySet[Environment]:
    """The environments whose latest version is newest."""
    return published().order_by("-latest__created", "-pk")[:count]


def most_trainable(count: int) -> QuerySet[Environment]:
    """The measured environments with the greatest lower bound of signal."""
    measured = published().filter(**{f"{_SIGNAL}__isnull": False})
    return measured.order_by(f"-{_SIGNAL}", "-pk")[:count]


def cells() -> dict[tuple[str, str], int]:
    """How many published environments there are for each domain and strategy that occurs."""
    with connection.cursor() as cursor:
        cursor.execute(_CELLS)
        return {(domain, strategy): count for domain, strategy, count in cursor.fetchall()}


def totals() -> dict[str, int]:
    """How much is published and was measured."""
    prefix = "latest__headline__"
    found = published().select_related(None)
    sums = found.aggregate(
        environments=Count("pk"),
        measured=Count(f"{prefix}pk"),
        tasks=Sum(f"{prefix}tasks"),
        rollouts=Sum(F(f"{prefix}tasks") * F(f"{prefix}rollouts")),
    )
    return {name: value or 0 for name, value in sums.items()}
