"""Acts on one object in the administration: buttons on its page, each with its own address."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse

View = Callable[..., HttpResponse]


class Look(StrEnum):
    """How a button is drawn: what it is for decides."""

    PLAIN = "plain"
    GOOD = "good"
    DANGER = "danger"


@dataclass(frozen=True)
class Act:
    """What a method of a `ModelAdmin` is on the page of an object."""

    label: str
    permission: str
    look: Look


def page_act(label: str, *, permission: str, look: Look = Look.PLAIN) -> Callable[[View], View]:
    """Mark a method `(request, object_id)` as an act on one object.

    It is offered and allowed to whom `has_<permission>_permission(request)` says.
    """

    def mark(method: View) -> View:
        @functools.wraps(method)
        def guarded(
            self: admin.ModelAdmin, request: HttpRequest, *args: Any, **kwargs: Any
        ) -> HttpResponse:
            if not _may(self, request, permission):
                raise PermissionDenied
            return method(self, request, *args, **kwargs)

        guarded.act = Act(label, permission, look)  # type: ignore[attr-defined]
        return guarded

    return mark


def _may(model_admin: admin.ModelAdmin, request: HttpRequest, permission: str) -> bool:
    return bool(getattr(model_admin, f"has_{permission}_permission")(request))


class ActsAdmin(admin.ModelAdmin):
    """Gives the methods named in `acts` an address, and a button on the object's page."""

    acts: Sequence[str] = ()

    def get_urls(self) -> list[URLPattern]:
        return [
            path(
                f"<path:object_id>/{name}/",
                self.admin_site.admin_view(getattr(self, name)),
                name=self._route(name),
            )
            for name in self.acts
        ] + super().get_urls()

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> HttpResponse:
        context["acts"] = [] if obj is None else self._offered(request, obj)
        return super().render_change_form(request, context, add, change, form_url, obj)

    def _offered(self, request: HttpRequest, obj: Any) -> list[tuple[str, Act]]:
        """The address and the button of each act that this person may do."""
        marked = [(name, getattr(self, name).act) for name in self.acts]
        return [
            (reverse(f"admin:{self._route(name)}", args=[obj.pk]), one)
            for name, one in marked
            if _may(self, request, one.permission)
        ]

    def _route(self, name: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{name}"
