"""The run itself, in the namespaces that `python -m tests.faults` made for it."""

import os
import sys

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hub.settings")
django.setup()

from tests.faults.run import main  # noqa: E402 - models can be imported only now

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
