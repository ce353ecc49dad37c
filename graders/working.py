"""One worker, one job: claim it, carry it out, and say truthfully how it ended."""

import logging
import traceback
from collections.abc import Callable

from graders import jobs, services
from graders.errors import EnvironmentFault, PlatformFault
from graders.jobs import Claim, Heartbeat, LeaseLost
from graders.pipeline import building, inspecting, rolling, summarising
from graders.states import JobKind

logger = logging.getLogger(__name__)

STEPS: dict[JobKind, Callable[[Claim, Heartbeat], None]] = {
    JobKind.BUILD: building.run,
    JobKind.INSPECT: inspecting.run,
    JobKind.ROLLOUTS: rolling.run,
    JobKind.SUMMARISE: summarising.run,
}


def work(job_id: int, *, worker: str) -> None:
    """Carry out a job if it is to be had; whoever is not the first does nothing."""
    held = jobs.claim(job_id=job_id, worker=worker)
    if held is None:
        return
    services.enter(held.job)
    try:
        if held.job.attempt > jobs.MAX_ATTEMPTS:
            raise PlatformFault(f"Its workers died {jobs.MAX_ATTEMPTS} times.")
        with Heartbeat(held) as heartbeat:
            STEPS[JobKind(held.job.kind)](held, heartbeat)
    except LeaseLost:
        logger.warning("%s was taken over or cancelled", held.job)
    except EnvironmentFault as error:
        _give_up(held, str(error), log=str(error))
    except PlatformFault as error:
        _try_again(held, str(error), log=str(error))
    except Exception as error:
        logger.exception("%s failed", held.job)
        summary = (
            f"The platform failed ({type(error).__name__}); it is not the environment's fault."
        )
        _try_again(held, summary, log=traceback.format_exc())


def _try_again(held: Claim, fault: str, *, log: str) -> None:
    try:
        with jobs.guarded(held) as job:
            if jobs.retry_later(job, log=log):
                return
            jobs.fail(job, log=log)
            services.fail(held.job.evaluation, fault=f"{fault} Tried {job.attempt} times.")
    except LeaseLost:
        logger.warning("%s was taken over or cancelled", held.job)


def _give_up(held: Claim, fault: str, *, log: str) -> None:
    try:
        with jobs.guarded(held) as job:
            jobs.fail(job, log=log)
            services.fail(held.job.evaluation, fault=fault)
    except LeaseLost:
        logger.warning("%s was taken over or cancelled", held.job)
