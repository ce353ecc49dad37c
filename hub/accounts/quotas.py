"""How much one person may use. The domains that are used ask here; what is used, they count.

A person's own `Quota` row comes first, field by field. Without one, settings say what is usual;
trusted people have a multiple of it, and administrators no limit.
"""

from dataclasses import dataclass
from typing import Literal

from django.conf import settings

from hub.accounts.models import Quota, User

Name = Literal["uploads_per_hour", "storage_mb", "running_evaluations"]


@dataclass(frozen=True)
class Limits:
    """One person's limits; None is without."""

    uploads_per_hour: int | None
    storage_mb: int | None
    running_evaluations: int | None


def defaults(name: Name) -> tuple[int, int]:
    """The usual limit, and that of trusted people."""
    usual = int(settings.QUOTAS[name])
    return usual, usual * settings.QUOTA_TRUSTED_FACTOR


def limits(person: User) -> Limits:
    """What this person may use."""
    own = Quota.objects.filter(user=person).first()
    return Limits(
        uploads_per_hour=_limit(person, own, "uploads_per_hour"),
        storage_mb=_limit(person, own, "storage_mb"),
        running_evaluations=_limit(person, own, "running_evaluations"),
    )


def _limit(person: User, own: Quota | None, name: Name) -> int | None:
    if own is not None and (limit := getattr(own, name)) is not None:
        return int(limit)
    if person.is_superuser:
        return None
    usual, trusted = defaults(name)
    return trusted if person.is_trusted else usual
