"""Versions and people in the administration, with what moderators decide about them."""

from collections.abc import Callable
from typing import Any, cast

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse

from environments.models import Version
from hub.accounts.admin import UserAdmin
from hub.accounts.models import User
from hub.audit.acts import Look, page_act
from hub.audit.admin import MODERATE, ReadOnlyAdmin, decide
from hub.moderation import services

Act = Callable[..., None]


class Decisions(admin.ModelAdmin):
    """Asks, then calls a service of the moderation: for one object or for several."""

    noun: str

    def one(
        self, request: HttpRequest, object_id: str, title: str, service: Act, with_reason: bool
    ) -> HttpResponse:
        found = self.get_object(request, object_id)
        if found is None:
            raise Http404
        meta = self.model._meta
        back = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[object_id])
        return self._decide(request, [found], title, service, with_reason, back)

    def several(
        self,
        request: HttpRequest,
        queryset: QuerySet[Any],
        title: str,
        service: Act,
        with_reason: bool,
    ) -> HttpResponse:
        return self._decide(
            request, list(queryset), title, service, with_reason, request.get_full_path()
        )

    def _decide(
        self,
        request: HttpRequest,
        objects: list[Model],
        title: str,
        service: Act,
        with_reason: bool,
        back: str,
    ) -> HttpResponse:
        def act(found: Model, reason: str) -> None:
            service(actor=cast(User, request.user), reason=reason, **{self.noun: found})

        return decide(
            self, request, objects, title=title, act=act, back=back, with_reason=with_reason
        )


@admin.register(Version)
class VersionAdmin(ReadOnlyAdmin, Decisions):
    """The queue and the history of what was uploaded."""

    noun = "version"
    list_display = ["__str__", "review", "status", "format", "uploaded_by", "created"]
    list_filter = ["review", "status", "format", "kind"]
    list_select_related = ["environment__owner", "uploaded_by"]
    search_fields = [
        *("environment__name", "environment__owner__username", "package", "number", "sha256"),
    ]
    date_hierarchy = "created"
    fieldsets = [
        (
            None,
            {"fields": ["environment", "number", "package", "uploaded_by", "created", "changelog"]},
        ),
        ("Decision", {"fields": ["review", "review_reason", "status", "fault"]}),
        ("Bytes", {"fields": ["filename", "kind", "size", "sha256"]}),
        (
            "Manifest",
            {
                "fields": [
                    *("summary", "license", "requires_python", "dependencies"),
                    *("entry", "args", "import_paths", "format", "pass_threshold"),
                    *("reward_low", "reward_high", "max_turns", "min_memory_mb"),
                    *("data", "prepare"),
                    *("tags", "domains", "strategies", "readme"),
                ]
            },
        ),
        ("Lock", {"fields": ["lock"], "classes": ["collapse"]}),
    ]
    actions = ["approve_all", "reject_all", "quarantine_all"]
    acts = ["approve", "reject", "quarantine"]

    @page_act("Approve", permission="moderate", look=Look.GOOD)
    def approve(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.one(request, object_id, "Approve", services.approve, False)

    @page_act("Reject", permission="moderate", look=Look.DANGER)
    def reject(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.one(request, object_id, "Reject", services.reject, True)

    @page_act("Quarantine", permission="moderate", look=Look.DANGER)
    def quarantine(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.one(request, object_id, "Quarantine", services.quarantine, True)

    @admin.action(description="Approve", permissions=["moderate"])
    def approve_all(self, request: HttpRequest, queryset: QuerySet[Version]) -> HttpResponse:
        return self.several(request, queryset, "Approve", services.approve, False)

    @admin.action(description="Reject", permissions=["moderate"])
    def reject_all(self, request: HttpRequest, queryset: QuerySet[Version]) -> HttpResponse:
        return self.several(request, queryset, "Reject", services.reject, True)

    @admin.action(description="Quarantine", permissions=["moderate"])
    def quarantine_all(self, request: HttpRequest, queryset: QuerySet[Version]) -> HttpResponse:
        return self.several(request, queryset, "Quarantine", services.quarantine, True)


@admin.register(User)
class ModeratedUserAdmin(UserAdmin, Decisions):
    """People; moderators see them, and lock them out and let them in."""

    noun = "user"
    acts = ["ban", "unban"]

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm(MODERATE) or super().has_view_permission(request, obj)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_moderate_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return bool(request.user.has_perm(MODERATE))

    @page_act("Lock out", permission="moderate", look=Look.DANGER)
    def ban(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.one(request, object_id, "Lock out", services.ban, True)

    @page_act("Let in again", permission="moderate")
    def unban(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.one(request, object_id, "Let in again", services.unban, False)
