"""Who may decide about what others contributed, and about them."""

from django.core.exceptions import PermissionDenied

from hub.accounts.models import User


def require_moderator(person: User) -> None:
    """Raise PermissionDenied unless this person moderates."""
    if not person.is_moderator:
        raise PermissionDenied("Only moderators may do this.")


def require_power_over(person: User, other: User) -> None:
    """Raise PermissionDenied unless `person` may lock `other` out.

    Nobody may lock out themselves, and only administrators those who moderate.
    """
    require_moderator(person)
    if person.pk == other.pk:
        raise PermissionDenied("You cannot do this to yourself.")
    if (other.is_superuser or other.has_perm("accounts.moderate")) and not person.is_superuser:
        raise PermissionDenied("Only an administrator may do this to a moderator.")
