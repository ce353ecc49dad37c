"""How much one person may upload and keep here. What is used is counted in the database."""

import math
from datetime import timedelta
from typing import Final

from django.db import transaction
from django.db.models import QuerySet, Sum
from django.db.models.functions import Now
from django.template.defaultfilters import filesizeformat
from django.utils import timezone

from environments.archives.base import MIB
from environments.models import UploadAttempt, Version
from hub.accounts import quotas
from hub.accounts.models import User
from hub.errors import Problem, Refused

HOUR: Final = timedelta(hours=1)


def refuse_too_many(actor: User) -> None:
    """Raise Refused (429) if this person has no upload left in this hour. Counts none."""
    limit = quotas.limits(actor).uploads_per_hour
    if limit is None:
        return
    recent = UploadAttempt.objects.filter(user=actor, at__gt=Now() - HOUR).order_by("-at")
    times = list(recent.values_list("at", flat=True)[:limit])
    if len(times) < limit:
        return
    # The next one is free when the oldest of those that count is an hour old.
    until = (times[-1] if times else timezone.now()) + HOUR
    wait = max(1, math.ceil((until - timezone.now()).total_seconds()))
    words = f"You may upload {limit} archives an hour. Try again in {math.ceil(wait / 60)} min."
    raise Refused("Too many uploads", [Problem("", words, "rate")], 429, retry_after=wait)


@transaction.atomic
def count_upload(actor: User) -> None:
    """Count an upload, whatever comes of it. Raises Refused (429) if it is one too many."""
    _take_turns(actor)
    refuse_too_many(actor)
    UploadAttempt.objects.filter(user=actor, at__lt=Now() - HOUR).delete()
    UploadAttempt.objects.create(user=actor)


def reserve(owner: User, *, sha256: str, size: int) -> None:
    """See to it that there is room for an archive until the transaction ends.

    Raises Refused (413) if its bytes, together with the owner's others, are too many. The same
    bytes count once.
    """
    _take_turns(owner)
    limit = quotas.limits(owner).storage_mb
    if limit is None or _stored(owner).filter(sha256=sha256).exists():
        return
    used = _used(owner)
    if used + size > limit * MIB:
        words = (
            f"{owner} uses {filesizeformat(used)} of {filesizeformat(limit * MIB)}, and this "
            f"archive has {filesizeformat(size)}. Make it smaller, or ask an administrator of "
            "this hub for more room."
        )
        raise Refused("There is no room left", [Problem("archive", words, "quota")], 413)


def left(owner: User) -> int | None:
    """Bytes that an owner's archives leave of their storage; None without a limit."""
    limit = quotas.limits(owner).storage_mb
    return None if limit is None else limit * MIB - _used(owner)


def _stored(owner: User) -> "QuerySet[Version]":
    return Version.objects.filter(environment__owner=owner).order_by()


def _used(owner: User) -> int:
    distinct = _stored(owner).values("sha256", "size").distinct()
    return distinct.aggregate(bytes=Sum("size"))["bytes"] or 0


def _take_turns(person: User) -> None:
    """Let requests that use one person's quota at the same moment wait for each other."""
    User.objects.select_for_update(no_key=True).only("pk").get(pk=person.pk)
