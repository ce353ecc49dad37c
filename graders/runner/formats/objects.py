"""Environments that are objects: the entry makes one for every rollout.

Attributes of such an object that count if they are there: `num_tasks` (int), `close()`.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from ..attempts import Attempt
from ..faults import BadEnvironment, LoadError, describe, shown
from ..scheduler import Condition
from .base import Adapter


class Objects(Adapter):
    """One environment object for each rollout, or one after the other if there is only one."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._changed = Condition()
        self._taken: list[object] = []

    def tasks(self) -> int | None:
        found = getattr(self.source.first, "num_tasks", None)
        if found is None:
            return None
        if not isinstance(found, int) or isinstance(found, bool) or found < 1:
            raise LoadError(f"num_tasks is {shown(found)}; it must be an int of at least 1.")
        return found

    def make(self) -> Any:
        """An environment object, straight from contributed code."""
        return self.source.make()

    def facing(self, env: Any) -> Any:
        """What a rollout deals with: the object, or what stands before it."""
        return env

    @asynccontextmanager
    async def environment(self, attempt: Attempt) -> AsyncIterator[Any]:
        """An environment object that no other rollout has, closed afterwards."""
        env = attempt.pose(self.make)
        if not self.recognise(env):
            raise BadEnvironment(f"The entry gave {shown(env)}, which lacks {self.needs}.")
        async with self._owned(env):
            try:
                yield attempt.pose(self.facing, env)
            finally:
                self.close(attempt, env)

    @asynccontextmanager
    async def _owned(self, env: object) -> AsyncIterator[None]:
        await self._changed.wait_for(lambda: all(env is not other for other in self._taken))
        self._taken.append(env)
        try:
            yield
        finally:
            self._taken = [other for other in self._taken if other is not env]
            self._changed.notify_all()

    def close(self, attempt: Attempt, env: Any) -> None:
        """Close an object if it can be closed. What it raises costs no rollout its reward."""
        if env is self.source.first or not callable(getattr(env, "close", None)):
            return  # The first one lives as long as the runner.
        try:
            attempt.play(env.close)
        except Exception as error:
            self.log(f"close() raised {describe(error, ())}")
