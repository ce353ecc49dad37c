"""Writing down which machines run sandboxes, and what each cannot enforce."""

from django.db import transaction
from django.db.models.functions import Now

from graders.models import Host
from hub.audit import services as audit


@transaction.atomic
def record(*, hostname: str, driver: str, pythons: list[str], warnings: list[str]) -> Host:
    """What a worker found on its host, just now. The audit log keeps what changes."""
    found: dict[str, object] = {"driver": driver, "pythons": pythons, "warnings": warnings}
    before = Host.objects.select_for_update().filter(hostname=hostname).values(*found).first()
    host, _ = Host.objects.update_or_create(hostname=hostname, defaults=found | {"seen": Now()})
    host.refresh_from_db()
    if before != found:
        audit.record(actor=None, action="host.changed", target=host, data=found)
    return host
