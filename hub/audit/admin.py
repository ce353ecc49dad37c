"""The audit log in the administration, and what every other part of the administration shares:
nothing is deleted there, and every act is recorded."""

from collections.abc import Callable, Iterable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.widgets import AdminTextareaWidget
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse

from hub.audit import services as audit
from hub.audit.acts import ActsAdmin
from hub.audit.models import Event
from hub.errors import Refused

MODERATE = "accounts.moderate"


class LastingAdmin(ActsAdmin):
    """Deletes nothing: the audit log names it."""

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnlyAdmin(LastingAdmin):
    """Only shows. Moderators may look without a permission of their own for it."""

    moderators_see = True

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if self.moderators_see and request.user.has_perm(MODERATE):
            return True
        return bool(super().has_view_permission(request, obj))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_moderate_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        """For actions: `permissions=["moderate"]`."""
        return bool(request.user.has_perm(MODERATE))


class AuditedAdmin(LastingAdmin):
    """Changes, and records what was changed to what; never the values of `secret_fields`."""

    secret_fields: tuple[str, ...] = ("password", "password1", "password2")

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> Any:
        """Called once for every form that was saved, just before it is logged."""
        self._record(request, form, "created" if add else "changed")
        for formset in formsets or []:
            for one in formset.forms:
                if one.has_changed():
                    self._record(request, one, "removed" if _is_removed(one) else "changed")
        return super().construct_change_message(request, form, formsets, add)

    def _record(self, request: HttpRequest, form: Any, verb: str) -> None:
        changed = {
            name: "(hidden)" if name in self.secret_fields else shown(form.cleaned_data.get(name))
            for name in form.changed_data
        }
        target = form.instance if hasattr(form, "instance") else form.user
        noun = target._meta.model_name if hasattr(form, "instance") else "user"
        audit.record(
            actor=request.user,  # type: ignore[arg-type]
            action=f"{noun}.{verb}",
            target=target,
            data={"fields": changed},
        )


def _is_removed(form: Any) -> bool:
    return bool(form.cleaned_data.get("DELETE"))


def shown(value: object) -> object:
    """A form's value as the audit log can keep it."""
    if isinstance(value, QuerySet):
        return [str(one) for one in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


class ReasonForm(forms.Form):
    """Why something is done."""

    reason = forms.CharField(
        max_length=2000,
        widget=AdminTextareaWidget,
        help_text="For the owner to read, and for the audit log.",
        error_messages={"required": "Say why, for the owner to read."},
    )


class PlainForm(forms.Form):
    """Nothing but a yes."""


def decide(
    model_admin: admin.ModelAdmin,
    request: HttpRequest,
    objects: Iterable[Model],
    *,
    title: str,
    act: Callable[[Any, str], object],
    back: str,
    with_reason: bool = False,
) -> HttpResponse:
    """Ask before an act on some objects, then do it to each and say what came of it.

    The first request shows the page; its answer, a POST with `decided`, is the decision.
    """
    objects = list(objects)
    decided = request.method == "POST" and "decided" in request.POST
    form = (ReasonForm if with_reason else PlainForm)(request.POST if decided else None)
    if decided and form.is_valid():
        for one in objects:
            _do(request, one, title, act, form.cleaned_data.get("reason", ""))
        return HttpResponseRedirect(back)
    kept = [
        (name, value)
        for name in ("action", ACTION_CHECKBOX_NAME, "select_across")
        for value in request.POST.getlist(name)
    ]
    meta = model_admin.opts
    context = {
        **model_admin.admin_site.each_context(request),
        "opts": meta,
        "changelist": f"admin:{meta.app_label}_{meta.model_name}_changelist",
        "title": title,
        "question": f"{title}?",
        "objects": objects,
        "form": form,
        "kept": kept,
        "back": back,
    }
    return TemplateResponse(request, "admin/decide.html", context)


def _do(
    request: HttpRequest, one: Model, title: str, act: Callable[[Any, str], object], reason: str
) -> None:
    try:
        with transaction.atomic():
            act(one, reason)
    except Refused as error:
        messages.error(request, f"{one}: {error}")
    else:
        messages.success(request, f"{title}: {one}")


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    list_display = ["at", "actor_name", "action", "target_name"]
    list_filter = ["action", "target_type"]
    search_fields = ["actor_name", "target_name", "action"]
    date_hierarchy = "at"
    fields = ["at", "actor_name", "action", "target_type", "target_id", "target_name", "data"]
