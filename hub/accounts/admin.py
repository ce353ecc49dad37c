"""People, groups and tokens in the administration.

`UserAdmin` is registered by the moderation, which adds what it does to people.
"""

from typing import Any, cast

from allauth.account.models import EmailAddress
from django.contrib import admin
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import UserCreationForm
from django.contrib.auth.models import Group
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from hub.accounts import services
from hub.accounts.models import ApiToken, Quota, User
from hub.audit.admin import AuditedAdmin, ReadOnlyAdmin, decide


def _sign_in(request: HttpRequest, extra_context: object = None) -> HttpResponse:
    """Never Django's own form: it would let those who are in guess the passwords of others."""
    if request.user.is_authenticated:
        if not admin.site.has_permission(request):
            raise PermissionDenied("You are signed in as somebody who does not administer.")
        return redirect("admin:index")
    wanted = request.GET.get(REDIRECT_FIELD_NAME) or reverse("admin:index")
    return redirect_to_login(wanted, reverse("account_login"))


def _change_password(request: HttpRequest, extra_context: object = None) -> HttpResponse:
    return redirect("account_change_password")


# Signing in and changing one's password go by the site's own pages and their rate limits.
admin.site.login = _sign_in  # type: ignore[method-assign]
admin.site.password_change = _change_password  # type: ignore[method-assign, assignment]
admin.site.unregister([Group, EmailAddress])


class NewUserForm(UserCreationForm):
    class Meta:
        model = User
        fields = ["username", "email"]


class QuotaInline(admin.StackedInline):
    """What this person may use, where it is not the usual."""

    model = Quota
    extra = 0
    can_delete = True
    verbose_name_plural = "quota (empty fields mean the usual)"


class UserAdmin(DjangoUserAdmin, AuditedAdmin):
    """Nobody is deleted or locked out here: banning takes sessions and tokens too."""

    add_form = NewUserForm
    list_display = ["username", "email", "is_trusted", "is_active", "is_staff", "date_joined"]
    list_filter = ["is_trusted", "is_active", "is_staff", "is_superuser", "groups"]
    search_fields = ["username", "email"]
    ordering = ["username"]
    filter_horizontal = ["groups", "user_permissions"]
    fieldsets = [
        (None, {"fields": ["username", "email", "password"]}),
        ("Standing", {"fields": ["is_trusted", "is_active"]}),
        ("Rights", {"fields": ["is_staff", "is_superuser", "groups", "user_permissions"]}),
        ("Dates", {"fields": ["last_login", "date_joined"]}),
    ]
    add_fieldsets = [(None, {"fields": ["username", "email", "password1", "password2"]})]

    def get_inlines(self, request: HttpRequest, obj: Model | None) -> list[Any]:
        return [] if obj is None else [QuotaInline]

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        fixed = ["is_active", "last_login", "date_joined"]
        # Addresses begin with it.
        fixed += ["username"] if obj is not None else []
        rights = ["is_staff", "is_superuser", "groups", "user_permissions"]
        return fixed if request.user.is_superuser else fixed + rights


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, AuditedAdmin):
    """Groups of people, such as the moderators."""


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnlyAdmin):
    """Tokens, without their texts, which nobody has but their owners."""

    moderators_see = False
    list_display = ["user", "name", "token_key", "scopes", "created", "expiry"]
    list_select_related = ["user"]
    search_fields = ["user__username", "name"]
    fields = ["user", "name", "token_key", "scopes", "created", "expiry"]
    actions = ["revoke"]

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("accounts.delete_apitoken"))

    @admin.action(description="Revoke", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> HttpResponse:
        def act(token: ApiToken, reason: str) -> Any:
            services.revoke_token(token=token, actor=cast(User, request.user))

        tokens = queryset.select_related("user")
        return decide(self, request, tokens, title="Revoke", act=act, back=request.path)
