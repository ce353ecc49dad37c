"""One worker, one job: claim it, carry it out, and say truthfully how it ended."""

import logging
import time
import traceback
from collections.abc import Callable

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection

from graders import draining, jobs, services
from graders.beating import Drained, Heartbeat
from graders.errors import EnvironmentFault, PlatformFault
from graders.jobs import Claim, LeaseLost
from graders.models import Job
from graders.pipeline import building, inspecting, rolling, summarising
from graders.states import QUEUES, JobKind
from hub.database import is_away
from hub.redaction import redact

logger = logging.getLogger(__name__)

STEPS: dict[JobKind, Callable[[Claim, Heartbeat], None]] = {
    JobKind.BUILD: building.run,
    JobKind.INSPECT: inspecting.run,
    JobKind.ROLLOUTS: rolling.run,
    JobKind.SUMMARISE: summarising.run,
}


def work(queue: str, *served: str, worker: str) -> bool:
    """Carry out the job whose turn it is. False if there was none to be had.

    A message came from `queue`, but what is done may be of any that the worker serves.
    """
    queues = dict.fromkeys((queue, *served))
    if draining.is_on():
        return False
    held = jobs.claim(*queues, worker=worker)
    if held is None:
        return False
    if QUEUES[JobKind(held.job.kind)] != queue:
        # The message may have meant a job that only others can see to.
        jobs.top_up(queue)
    try:
        _carry_out(held)
    except LeaseLost:
        logger.warning("Job %s was taken over or cancelled", held.job.pk)
    # Messages that a broker forgot are not missed as long as somebody works.
    for served_queue in queues:
        jobs.top_up(served_queue)
    return True


def _carry_out(held: Claim) -> None:
    try:
        _enter(held)
        with Heartbeat(held) as heartbeat:
            STEPS[JobKind(held.job.kind)](held, heartbeat)
    except LeaseLost:
        raise
    except EnvironmentFault as error:
        _give_up(held, str(error))
    except PlatformFault as error:
        _try_again(held, str(error), log=str(error))
    except Drained:
        _give_back(held, "given back: the worker was told to stop")
    except Exception as error:
        _blame_us(held, error)
    except BaseException:
        # A signal to this very process.
        _give_back(held, "given back: the worker's process was told to end")
        raise


def _enter(held: Claim) -> None:
    if held.job.attempt > jobs.MAX_ATTEMPTS:
        raise PlatformFault(f"Its workers died {jobs.MAX_ATTEMPTS} times.")
    with jobs.guarded(held) as job:
        services.enter(job)


def _blame_us(held: Claim, error: Exception) -> None:
    # By its number: to name it would ask the database, which may be what failed.
    logger.exception("Job %s failed", held.job.pk)
    lost = isinstance(error, DatabaseError | InterfaceError) and not connection.is_usable()
    if lost or is_away(error):
        _give_back(held, "given back: the database went away")
        return
    summary = f"The platform failed ({type(error).__name__}); it is not the environment's fault."
    _try_again(held, summary, log=redact(traceback.format_exc()))


def _try_again(held: Claim, fault: str, *, log: str) -> None:
    with jobs.guarded(held) as job:
        if not jobs.retry_later(job, log=log):
            jobs.bury(job, log=log)
            services.fail(job.evaluation, fault=f"{fault} Tried {_times(job)}.")


def _times(job: Job) -> str:
    return f"{min(job.attempt, jobs.MAX_ATTEMPTS)} times"


def _give_up(held: Claim, fault: str) -> None:
    with jobs.guarded(held) as job:
        jobs.fail(job, log=fault)
        services.fail(job.evaluation, fault=fault)


def _give_back(held: Claim, why: str) -> None:
    """Put the job back, waiting for the database as long as the lease lasts."""
    until = time.monotonic() + settings.JOB_LEASE_SECONDS
    # Whatever came in between, the connection may be in the middle of anything.
    connection.close()
    while True:
        try:
            with jobs.guarded(held) as job:
                return jobs.give_back(job, log=why)
        except (DatabaseError, InterfaceError):
            connection.close()
            if time.monotonic() > until:
                raise
            time.sleep(1.0)
