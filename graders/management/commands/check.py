"""Django's `manage.py check`, which also knows the tag `sandbox`."""

from typing import Any

from django.core import checks
from django.core.management.commands import check

from graders.checks import TAG, check_sandbox


class Command(check.Command):
    # It starts containers. Registered for good, every other command and worker would do so too.
    def handle(self, *app_labels: Any, **options: Any) -> None:
        if options["list_tags"] or TAG in (options["tags"] or []):
            checks.register(check_sandbox, TAG)
        super().handle(*app_labels, **options)
