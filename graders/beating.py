"""What goes on beside a job's work: keeping the lease and the log, noticing that it has to stop."""

import logging
import threading
import time

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection

from graders import draining, jobs
from graders.jobs import Claim, LeaseLost

logger = logging.getLogger(__name__)

# How soon a cancelled job is noticed: one look at its row by its primary key.
POLL_S = 1.0


class Drained(Exception):
    """The worker was told to stop and its grace is over: the job goes back to its queue."""


class Heartbeat:
    """Extends a lease from a thread of its own while the job is worked on.

    Long steps call `check` at least every second; it raises LeaseLost or Drained once there is no
    use in going on. What they `say` is in the job's log within a second or two, whatever becomes
    of the worker.
    """

    def __init__(self, held: Claim) -> None:
        self._held = held
        self._stop = threading.Event()
        self._reason: Exception | None = None
        self._beaten = time.monotonic()
        self._thread = threading.Thread(target=self._run, daemon=True, name="heartbeat")

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def check(self) -> None:
        """Raise LeaseLost or Drained if the work has to end now."""
        if self._reason is not None:
            raise self._reason

    def say(self, text: str) -> None:
        """Add to the job's log; any thread may."""
        self._held.log.add(text)

    def _run(self) -> None:
        try:
            while not self._stop.wait(POLL_S):
                self._reason = self._look()
                if self._reason is not None and self._is_lost():
                    return
        finally:
            connection.close()

    def _is_lost(self) -> bool:
        return isinstance(self._reason, LeaseLost)

    def _look(self) -> Exception | None:
        """Why the work has to end, if it has to."""
        if not self._is_ours():
            return LeaseLost()
        waited = draining.seconds()
        over = waited is not None and waited >= settings.JOB_GRACE_SECONDS
        return Drained() if over else None

    def _is_ours(self) -> bool:
        since = time.monotonic() - self._beaten
        try:
            if since < settings.JOB_HEARTBEAT_SECONDS and not self._held.log.is_new:
                return jobs.held_row(self._held).exists()
            ours = jobs.extend(self._held)
        except (DatabaseError, InterfaceError) as error:
            # It may be back before the lease is over; until then nobody else gets the job either.
            logger.warning("The database does not answer: %s", error)
            connection.close()
            return since < settings.JOB_LEASE_SECONDS
        self._beaten = time.monotonic()
        return ours
