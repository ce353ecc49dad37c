"""Searching the catalogue through the API: filters, and the order they come in."""

from django.contrib.auth.models import AnonymousUser
from django.db.models import F, FloatField, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce
from django_filters import rest_framework as filters

from environments.manifest import FORMATS
from environments.models import Environment, Version
from environments.queries import search, visible_versions
from hub.accounts.models import User

# What each `sort` puts first. Unmeasured versions come last in every order.
_BEYOND = 1e300
ORDERS: dict[str, Combinable] = {
    "-signal": Coalesce(F("headline__signal_low"), Value(-_BEYOND), output_field=FloatField()),
    "signal": Coalesce(F("headline__signal_low"), Value(_BEYOND), output_field=FloatField()),
    "-tokens": Coalesce(F("headline__tokens"), Value(-_BEYOND), output_field=FloatField()),
    "tokens": Coalesce(F("headline__tokens"), Value(_BEYOND), output_field=FloatField()),
    "-created": F("created"),
    "created": F("created"),
    "-name": F("environment__name"),
    "name": F("environment__name"),
}
DEFAULT_ORDER = "-signal"


def catalogue(viewer: User | AnonymousUser) -> QuerySet[Version]:
    """One version an environment: its latest or, where there is none, the newest they may see."""
    visible = visible_versions(viewer)
    newest = visible.filter(environment=OuterRef("environment")).order_by("-created", "-id")
    return visible.filter(
        Q(environment__latest=F("pk"))
        | Q(environment__latest=None, pk=Subquery(newest.values("pk")[:1]))
    ).select_related("headline")


class CatalogueFilter(filters.FilterSet):
    """The facets of the catalogue. Those of measures leave out what was not measured."""

    q = filters.CharFilter(method="filter_text", max_length=200, label="Words to look for.")
    owner = filters.CharFilter(field_name="environment__owner__username", label="A username.")
    tag = filters.CharFilter("tags", method="filter_all", label="All of these, with commas.")
    domain = filters.CharFilter("domains", method="filter_all", label="All of these.")
    strategy = filters.CharFilter("strategies", method="filter_all", label="All of these.")
    format = filters.ChoiceFilter(
        choices=[(name, name) for name in FORMATS], label="How it is written."
    )
    package = filters.CharFilter(label="The project that an archive is of.")
    license = filters.CharFilter(lookup_expr="iexact", label="An SPDX expression.")
    model = filters.CharFilter("headline__model", label="The reference model.")
    p_min = filters.NumberFilter("headline__pass_at_1", "gte", label="Least pass@1.")
    p_max = filters.NumberFilter("headline__pass_at_1", "lte", label="Greatest pass@1.")
    signal_min = filters.NumberFilter(
        "headline__signal_low", "gte", label="Least signal@G, by the lower end of its interval."
    )
    tokens_max = filters.NumberFilter("headline__tokens", "lte", label="Most tokens a rollout.")
    sort = filters.ChoiceFilter(
        method="filter_sort",
        choices=[(order, order) for order in ORDERS],
        label=f"The order; {DEFAULT_ORDER} without any. Signal by the lower end of its interval.",
    )

    class Meta:
        model = Version
        fields: list[str] = []

    def filter_text(self, queryset: QuerySet[Version], name: str, value: str) -> QuerySet[Version]:
        return queryset.filter(
            environment__in=search(Environment.objects.all(), value).values("pk")
        )

    def filter_all(self, queryset: QuerySet[Version], name: str, value: str) -> QuerySet[Version]:
        wanted = [part.strip().lower() for part in value.split(",") if part.strip()]
        return queryset.filter(**{f"{name}__contains": wanted})

    def filter_sort(self, queryset: QuerySet[Version], name: str, value: str) -> QuerySet[Version]:
        # The cursor's pagination orders, by the annotation that the view adds.
        return queryset
