"""The two lives of a version, each with its one transition table. Pure; no Django models."""

from enum import StrEnum
from typing import Final


class Status(StrEnum):
    """How far the platform has come with a version."""

    UPLOADED = "uploaded"
    BUILDING = "building"
    INSPECTING = "inspecting"
    RUNNING = "running"
    EVALUATED = "evaluated"
    FAILED = "failed"


class Review(StrEnum):
    """What moderation has decided about a version."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    QUARANTINED = "quarantined"


STATUS_TRANSITIONS: Final[dict[Status, frozenset[Status]]] = {
    Status.UPLOADED: frozenset({Status.BUILDING, Status.FAILED}),
    Status.BUILDING: frozenset({Status.INSPECTING, Status.FAILED}),
    Status.INSPECTING: frozenset({Status.RUNNING, Status.FAILED}),
    Status.RUNNING: frozenset({Status.EVALUATED, Status.FAILED}),
    # A failed version may be evaluated again, its evaluation go on where it stopped, or another one
    # that was under way beside the failed one end well. An evaluated one stays so: no later failure
    # takes its numbers away.
    Status.EVALUATED: frozenset(),
    Status.FAILED: frozenset(
        {Status.BUILDING, Status.INSPECTING, Status.RUNNING, Status.EVALUATED}
    ),
}

REVIEW_TRANSITIONS: Final[dict[Review, frozenset[Review]]] = {
    Review.PENDING: frozenset({Review.APPROVED, Review.REJECTED, Review.QUARANTINED}),
    Review.APPROVED: frozenset({Review.REJECTED, Review.QUARANTINED}),
    Review.REJECTED: frozenset({Review.APPROVED, Review.QUARANTINED}),
    Review.QUARANTINED: frozenset({Review.APPROVED, Review.REJECTED}),
}


def status_sources(target: Status) -> list[Status]:
    """The states from which a version may become `target`."""
    return [source for source, targets in STATUS_TRANSITIONS.items() if target in targets]


def review_sources(target: Review) -> list[Review]:
    """The decisions that may be replaced by `target`."""
    return [source for source, targets in REVIEW_TRANSITIONS.items() if target in targets]
