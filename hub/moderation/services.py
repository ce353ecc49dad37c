"""What moderators decide. Each act is checked here and recorded in the audit log."""

from environments import services as catalogue
from environments.models import Version
from environments.states import Review
from hub.accounts import services as accounts
from hub.accounts.models import User
from hub.errors import Problem, Refused
from hub.moderation.permissions import require_moderator, require_power_over


def approve(*, version: Version, actor: User, reason: str = "") -> None:
    """Make a version public. Raises PermissionDenied, or Refused if it is already."""
    _decide(version, Review.APPROVED, actor, reason)


def reject(*, version: Version, actor: User, reason: str) -> None:
    """Keep a version from the public. Raises PermissionDenied; Refused without a reason."""
    _decide(version, Review.REJECTED, actor, reason)


def quarantine(*, version: Version, actor: User, reason: str) -> None:
    """Take a version away because it may do harm. Raises as `reject` does."""
    _decide(version, Review.QUARANTINED, actor, reason)


def ban(*, user: User, actor: User, reason: str) -> None:
    """Lock a person out: sessions and tokens end at once. What they contributed stays."""
    require_power_over(actor, user)
    if not reason.strip():
        raise Refused("A reason is needed", [Problem("reason", "Say why, for the audit log.")])
    if not user.is_active:
        raise Refused(f"{user} is locked out already", status=409)
    accounts.deactivate(user=user, actor=actor, reason=reason.strip())


def unban(*, user: User, actor: User, reason: str = "") -> None:
    """Let a person in again; they sign in and make tokens anew."""
    # Somebody locked out has no rights of their own that could stand in the way.
    require_moderator(actor)
    if user.is_active:
        raise Refused(f"{user} is not locked out", status=409)
    accounts.activate(user=user, actor=actor, reason=reason.strip())


def _decide(version: Version, review: Review, actor: User, reason: str) -> None:
    require_moderator(actor)
    catalogue.decide(version=version, review=review, actor=actor, reason=reason)
