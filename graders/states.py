"""States of evaluations and jobs, with their transition tables. Pure; no Django models."""

from enum import StrEnum
from typing import Final


class Stage(StrEnum):
    """Where an evaluation is."""

    QUEUED = "queued"
    BUILDING = "building"
    INSPECTING = "inspecting"
    RUNNING = "running"
    SUMMARISING = "summarising"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


ACTIVE_STAGES: Final = (
    Stage.QUEUED,
    Stage.BUILDING,
    Stage.INSPECTING,
    Stage.RUNNING,
    Stage.SUMMARISING,
)

STAGE_TRANSITIONS: Final[dict[Stage, frozenset[Stage]]] = {
    Stage.QUEUED: frozenset({Stage.BUILDING, Stage.FAILED, Stage.CANCELLED}),
    Stage.BUILDING: frozenset({Stage.INSPECTING, Stage.FAILED, Stage.CANCELLED}),
    Stage.INSPECTING: frozenset({Stage.RUNNING, Stage.FAILED, Stage.CANCELLED}),
    Stage.RUNNING: frozenset({Stage.SUMMARISING, Stage.FAILED, Stage.CANCELLED}),
    Stage.SUMMARISING: frozenset({Stage.DONE, Stage.FAILED, Stage.CANCELLED}),
    Stage.DONE: frozenset(),
    # An operator may put a dead job back, and its evaluation goes on where it stopped.
    Stage.FAILED: frozenset({Stage.BUILDING, Stage.INSPECTING, Stage.RUNNING, Stage.SUMMARISING}),
    Stage.CANCELLED: frozenset(),
}


class JobKind(StrEnum):
    """The steps of an evaluation that a worker takes."""

    BUILD = "build"
    INSPECT = "inspect"
    ROLLOUTS = "rollouts"
    SUMMARISE = "summarise"


class JobStatus(StrEnum):
    """Where a job is. A running job whose lease has run out counts as queued."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"  # by the environment's fault
    DEAD = "dead"  # by the platform's: its attempts are used up
    CANCELLED = "cancelled"


OPEN_STATUSES: Final = (JobStatus.QUEUED, JobStatus.RUNNING)


JOB_TRANSITIONS: Final[dict[JobStatus, frozenset[JobStatus]]] = {
    JobStatus.QUEUED: frozenset({JobStatus.RUNNING, JobStatus.CANCELLED}),
    JobStatus.RUNNING: frozenset(
        {
            JobStatus.RUNNING,  # another worker takes it over once the lease has run out
            JobStatus.QUEUED,
            JobStatus.DONE,
            JobStatus.FAILED,
            JobStatus.DEAD,
            JobStatus.CANCELLED,
        }
    ),
    JobStatus.DONE: frozenset(),
    JobStatus.FAILED: frozenset(),
    # Put back by an operator, and with it what its death had cancelled.
    JobStatus.DEAD: frozenset({JobStatus.QUEUED}),
    JobStatus.CANCELLED: frozenset({JobStatus.QUEUED}),
}

# The queue each kind of job is sent to.
QUEUES: Final[dict[JobKind, str]] = {
    JobKind.BUILD: "build",
    JobKind.INSPECT: "build",
    JobKind.ROLLOUTS: "rollouts",
    JobKind.SUMMARISE: "stats",
}

# The kinds of jobs that each queue's workers take.
KINDS: Final[dict[str, tuple[JobKind, ...]]] = {
    queue: tuple(kind for kind in JobKind if QUEUES[kind] == queue)
    for queue in dict.fromkeys(QUEUES.values())
}

# The stage an evaluation enters when a job of this kind starts.
STAGE_OF_JOB: Final[dict[JobKind, Stage]] = {
    JobKind.BUILD: Stage.BUILDING,
    JobKind.INSPECT: Stage.INSPECTING,
    JobKind.ROLLOUTS: Stage.RUNNING,
    JobKind.SUMMARISE: Stage.SUMMARISING,
}


def stage_sources(target: Stage) -> list[Stage]:
    """The stages from which an evaluation may enter `target`."""
    return [source for source, targets in STAGE_TRANSITIONS.items() if target in targets]


def job_sources(target: JobStatus) -> list[JobStatus]:
    """The states from which a job may become `target`."""
    return [source for source, targets in JOB_TRANSITIONS.items() if target in targets]
