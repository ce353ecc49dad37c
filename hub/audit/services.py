"""Writing the audit log: the one function, called inside the transaction of the act it records."""

from typing import Any

from django.db import models

from hub.audit.models import Event

SYSTEM = "system"


def record(
    *,
    actor: models.Model | None,
    action: str,
    target: models.Model,
    data: dict[str, Any] | None = None,
) -> Event:
    """Add one event. `actor` None means the platform itself; `action` is `noun.verb`."""
    return Event.objects.create(
        actor_id=actor.pk if actor is not None else None,
        actor_name=str(actor) if actor is not None else SYSTEM,
        action=action,
        target_type=target._meta.label_lower,
        target_id=str(target.pk),
        target_name=str(target)[:255],
        data=data or {},
    )
