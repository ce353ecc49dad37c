"""Environments in the administration. Their versions are the moderation's."""

from django.contrib import admin

from environments.models import Environment
from hub.audit.admin import ReadOnlyAdmin


@admin.register(Environment)
class EnvironmentAdmin(ReadOnlyAdmin):
    """Environments come from uploads, and stay."""

    list_display = ["__str__", "latest", "created"]
    list_select_related = ["owner", "latest__environment__owner"]
    search_fields = ["name", "owner__username"]
    date_hierarchy = "created"
    fields = ["owner", "name", "created", "latest"]
