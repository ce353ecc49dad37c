"""Threads that do something in the same moment, for what must hold whoever comes first."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connection

Result = TypeVar("Result")


def at_once(times: int, act: Callable[[], Result]) -> list[Result]:
    """What `act` returns to each of so many threads; raises what it raises in one of them."""
    start = threading.Barrier(times)

    def run(_: int) -> Result:
        start.wait()
        try:
            return act()
        finally:
            connection.close()  # the thread's own; a test's database must be free to be cleared

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(run, range(times)))
