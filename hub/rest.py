"""What the views of the REST API share: limits, negotiation, cursors, and their schema."""

from collections.abc import Sequence
from typing import Any

from django.core import signing
from django.db.models import Model, Q, QuerySet
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.generics import GenericAPIView
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.pagination import CursorPagination
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.utils.urls import replace_query_param
from rest_framework.views import APIView

from hub.errors import Problem, Refused

MIB = 2**20


class ProblemErrorSerializer(serializers.Serializer):
    """One thing that is wrong with a request."""

    field = serializers.CharField(help_text="Where: a field or a file; empty for the whole.")
    code = serializers.CharField()
    message = serializers.CharField()


class ProblemSerializer(serializers.Serializer):
    """An error (RFC 9457)."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    errors = ProblemErrorSerializer(many=True)


def problems(*statuses: int) -> dict[tuple[int, str], type[ProblemSerializer]]:
    """The error answers of an operation, for its schema."""
    return {(status, "application/problem+json"): ProblemSerializer for status in statuses}


class ByAccept(DefaultContentNegotiation):
    """Negotiates by the `Accept` header alone: `?format=` is the format of environments."""

    def select_renderer(
        self,
        request: Request,
        renderers: Sequence[BaseRenderer],
        format_suffix: str | None = None,
    ) -> tuple[BaseRenderer, str]:
        accepts = self.get_accept_list(request)
        for accepted in accepts:
            for renderer in renderers:
                if accepted.split(";")[0].strip() == renderer.media_type:
                    return renderer, renderer.media_type or ""
        # Whoever asks for anything else is served JSON too, rather than refused.
        return renderers[0], renderers[0].media_type or ""


# No docstrings on shared bases: the schema would show them as the description of every address.
# A view that refuses bodies above `max_body` bytes before it reads them.
class ApiView(GenericAPIView):
    max_body = MIB
    content_negotiation_class = ByAccept

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        # First of all: checking a session's CSRF token would already read the body.
        length = str(request.META.get("CONTENT_LENGTH") or "0")
        if length.isdecimal() and int(length) > self.max_body:
            limit = f"{self.max_body / MIB:.0f} MiB"
            raise Refused(
                "The request is too large",
                [Problem("", f"Send at most {limit}.", "too-large")],
                413,
            )
        super().initial(request, *args, **kwargs)


class KeysetPagination(CursorPagination):
    """Pages by the place of their first or last row in a total order.

    The view's `keys` name fields or annotations that are never null and together unique, each
    with `-` before it for descending order. Rows that come or go in between shift nothing. A
    cursor is signed and only holds for the order it was made for.
    """

    page_size_query_param = "page_size"
    max_page_size = 200

    def paginate_queryset(
        self, queryset: QuerySet[Any], request: Request, view: APIView | None = None
    ) -> list[Any]:
        self.base_url = request.build_absolute_uri()
        self.keys: list[str] = list(view.get_keys())  # type: ignore[union-attr]
        place, backwards = self._read(request)
        size = self.get_page_size(request) or 50
        rows = self._after(queryset, place, backwards)[: size + 1]
        found = list(rows)
        more, page = len(found) > size, found[:size]
        if backwards:
            page.reverse()
        self.page = page
        self.has_next = more if not backwards else place is not None
        self.has_previous = more if backwards else place is not None
        return page

    def get_next_link(self) -> str | None:
        return self._link(self.page[-1], False) if self.has_next and self.page else None

    def get_previous_link(self) -> str | None:
        return self._link(self.page[0], True) if self.has_previous and self.page else None

    def _after(
        self, queryset: QuerySet[Any], place: list[Any] | None, backwards: bool
    ) -> QuerySet[Any]:
        """The rows beyond a place, nearest first."""
        order, beyond, same = [], Q(), Q()
        for position, key in enumerate(self.keys):
            field, descending = key.lstrip("-"), key.startswith("-") != backwards
            order.append(f"-{field}" if descending else field)
            if place is not None:
                step = {f"{field}__{'lt' if descending else 'gt'}": place[position]}
                beyond |= same & Q(**step)
                same &= Q(**{field: place[position]})
        return queryset.filter(beyond).order_by(*order)

    def _read(self, request: Request) -> tuple[list[Any] | None, bool]:
        text = request.query_params.get(self.cursor_query_param)
        if not text:
            return None, False
        try:
            keys, place, backwards = signing.loads(text, salt="cursor")
        except signing.BadSignature:
            keys, place, backwards = [], [], False
        if keys != self.keys:
            raise ValidationError({"cursor": "This cursor is of another list. Begin without one."})
        return place, backwards

    def _link(self, row: Model, backwards: bool) -> str:
        place = [_json(_value(row, key.lstrip("-"))) for key in self.keys]
        text = signing.dumps([self.keys, place, backwards], salt="cursor", compress=True)
        return replace_query_param(self.base_url, self.cursor_query_param, text)


def _value(row: Any, path: str) -> Any:
    for part in path.split("__"):
        row = getattr(row, part)
    return row


def _json(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


class TokenScheme(OpenApiAuthenticationExtension):
    """How the API's schema describes tokens."""

    target_class = "hub.accounts.tokens.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "Or `Authorization: Token …`."}
