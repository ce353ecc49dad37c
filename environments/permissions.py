"""Who may do what to a version that they see."""

from django.contrib.auth.models import AnonymousUser

from environments.models import Version
from hub.accounts.models import User


def can_manage(person: User | AnonymousUser, version: Version) -> bool:
    """Its owner and moderators: they read why it failed or was refused, and may re-evaluate it."""
    if not isinstance(person, User):
        return False
    return person.pk == version.environment.owner_id or person.is_moderator
