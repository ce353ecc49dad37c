"""From an entry such as "package.module:make" to an adapter that drives what it makes."""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import reduce
from typing import Any

from . import imports
from .faults import LoadError, shown
from .formats import ADAPTERS
from .formats.base import Adapter, Source
from .isolation import Stream

SITES = ("site-packages", "dist-packages")


def extend_path(paths: Sequence[str]) -> None:
    """Let contributed packages be imported: after the standard library, before the image's own."""
    places = (at for at, path in enumerate(sys.path) if path.endswith(SITES))
    at = next(places, len(sys.path))
    sys.path[at:at] = paths
    importlib.invalidate_caches()


def load(
    entry: str,
    args: Mapping[str, Any],
    wanted: str | None,
    reward_range: tuple[float, float],
    log: Callable[[str], None],
) -> Adapter:
    """Import, make and recognise an environment.

    Raises LoadError for one that cannot be used, and whatever contributed code raises.
    """
    if wanted is not None and wanted not in ADAPTERS:
        raise LoadError(f'Unknown format "{wanted}". This hub drives: {", ".join(ADAPTERS)}.')
    if wanted is not None and ADAPTERS[wanted].is_served:
        return ADAPTERS[wanted](Source(entry, lambda: entry, args=args), reward_range, log)
    prepare_random()
    source = _source(entry, args, wanted)
    return _choose(source.first, wanted)(source, reward_range, log)


def prepare_random() -> None:
    """Let what is drawn while importing be the same in every runner.

    numpy is imported first if it is there at all: importing it seeds its generator anew.
    """
    if importlib.util.find_spec("numpy") is not None:
        with suppress(Exception):  # A broken numpy is for the environment's import to report.
            importlib.import_module("numpy.random")
    Stream(0).lay_in()


def resolve(entry: str) -> Any:
    """What an entry names, imported. Raises LoadError if it names nothing."""
    module, colon, attributes = entry.partition(":")
    if not (module and colon and attributes):
        raise LoadError(f'The entry "{entry}" is not of the form "package.module:name".')
    imported = imports.module(module)
    try:
        return reduce(getattr, attributes.split("."), imported)
    except AttributeError as error:
        raise LoadError(f'The entry "{entry}" cannot be found: {error}.') from error


def _source(entry: str, args: Mapping[str, Any], wanted: str | None) -> Source:
    target, module = resolve(entry), entry.partition(":")[0]
    own = next((one for one in ADAPTERS.values() if one.entry == entry), None)
    adapter = own or (ADAPTERS[wanted] if wanted else Adapter)
    args = {**(own.defaults if own else {}), **args}
    if any(one.recognise(target) for one in ADAPTERS.values()):
        if args:
            raise LoadError("The entry is an object, not a function, so it takes no args.")
        return Source(target, lambda: target, module)
    if not callable(target):
        raise LoadError(f"The entry is {shown(target)}, neither an environment nor a function.")
    Stream(0).lay_in()
    make = adapter.maker(target, args)
    return Source(make(), make, module, args)


def _choose(made: object, wanted: str | None) -> type[Adapter]:
    if wanted is None:
        found = [one for one in ADAPTERS.values() if one.recognise(made)]
        if not found:
            needs = "; ".join(f"{one.name} needs {one.needs}" for one in ADAPTERS.values())
            raise LoadError(f"The entry made {shown(made)}, which is of no known format: {needs}.")
        return found[0]
    adapter = ADAPTERS[wanted]
    if not adapter.recognise(made):
        raise LoadError(f"The entry made {shown(made)}; {wanted} needs {adapter.needs}.")
    return adapter
