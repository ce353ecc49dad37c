"""Contributed modules, imported by name: what an entry or an adapter says, never a model."""

import importlib
import sys
from typing import Any

from .faults import LoadError


def module(name: str) -> Any:
    """The module of that name.

    Raises LoadError if there is none; what it raises itself, a missing import included, passes.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise LoadError(f"There is no module {name!r}: {error}.") from error
        raise


def is_made_by(made: object, package: str, name: str) -> bool:
    """Whether an object's class is, or derives from, class `name` of a package. Imports nothing."""
    kinds = type(made).__mro__
    return package in sys.modules and any(
        kind.__name__ == name and kind.__module__.partition(".")[0] == package for kind in kinds
    )
