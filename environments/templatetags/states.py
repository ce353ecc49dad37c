"""The lives of a version in words, with what its owner can do next."""

from typing import Final

from django import template

from environments.models import Version
from environments.states import Review, Status

register = template.Library()

UNDER_WAY: Final = {
    Status.UPLOADED: "Uploaded; it waits for a worker to evaluate it.",
    Status.BUILDING: "Its dependencies are being locked and its bundle made.",
    Status.INSPECTING: "It is being loaded in the sandbox to read its tasks.",
    Status.RUNNING: "The reference model is working on its tasks.",
}
REVIEWS: Final = {
    Review.PENDING: "Measured. A moderator looks at it next; until then you and moderators see it.",
    Review.REJECTED: "Rejected. Read the reason, and upload a corrected version.",
    Review.QUARANTINED: "Quarantined: it is hidden while moderators look into it.",
    Review.APPROVED: "Public.",
}


@register.filter
def next_step(version: Version) -> str:
    """What is happening with a version, and what its owner can do about it."""
    if version.status == Status.FAILED:
        return "The evaluation failed. Read why; then evaluate again, or upload a fixed version."
    if version.review in (Review.REJECTED, Review.QUARANTINED):
        return REVIEWS[Review(version.review)]
    return UNDER_WAY.get(Status(version.status)) or REVIEWS[Review(version.review)]


@register.filter
def state(version: Version) -> str:
    """One word for a version: what matters most about it now."""
    if version.status == Status.FAILED:
        return "failed"
    if version.review in (Review.REJECTED, Review.QUARANTINED):
        return str(version.review)
    if version.status != Status.EVALUATED:
        return str(version.status)
    return "public" if version.review == Review.APPROVED else "waits for review"


@register.filter
def state_class(version: Version) -> str:
    """How that word is drawn: `good`, `bad`, or empty for under way."""
    if version.status == Status.FAILED or version.review in (Review.REJECTED, Review.QUARANTINED):
        return "bad"
    is_good = version.status == Status.EVALUATED and version.review == Review.APPROVED
    return "good" if is_good else ""
