"""The child of a data step: imports what the version names and calls it."""

import asyncio
import inspect
import json
import sys

from practicum_runner.faults import describe
from practicum_runner.loading import extend_path, resolve


def main() -> None:
    """Call `entry` with `args`, as the only argument of the command line says."""
    told = json.loads(sys.argv[1])
    extend_path(told["paths"])
    try:
        made = resolve(told["entry"])(**told["args"])
        if inspect.iscoroutine(made):
            asyncio.run(made)
    except BaseException as error:
        if isinstance(error, SystemExit) and not error.code:
            return
        print(describe(error, told["paths"]), file=sys.stderr)  # noqa: T201
        sys.exit(1)
