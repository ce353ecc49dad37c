#!/usr/bin/env python
"""Django's command line, and the stack's: `manage.py up`, `manage.py with_services`."""

import os
import sys

try:
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    from hub.stack.errors import StackError
except ImportError as error:
    sys.exit(f"{error}: run `make setup`, then .venv/bin/python manage.py.")


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hub.settings")
    try:
        execute_from_command_line(sys.argv)
    except (StackError, ImproperlyConfigured) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
