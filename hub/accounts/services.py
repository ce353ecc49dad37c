"""Writing people and tokens."""

import secrets
from collections.abc import Sequence
from datetime import timedelta

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.models import Session
from django.db import transaction
from django.utils import timezone

from hub.accounts.models import ApiToken, User, all_scopes
from hub.audit import services as audit
from hub.errors import Problem, Refused

ADMIN = "practicum-admin"


@transaction.atomic
def ensure_admin() -> str | None:
    """Create the first administrator. Returns its password, or None if there is one."""
    if User.objects.filter(is_superuser=True).exists():
        return None
    password = secrets.token_urlsafe(15)
    user = User.objects.create_superuser(username=ADMIN, password=password)
    audit.record(actor=None, action="user.created", target=user, data={"superuser": True})
    return password


@transaction.atomic
def ensure_service_user(username: str) -> User:
    """The trusted user without a password that owns the examples; created if missing."""
    user, created = User.objects.get_or_create(username=username, defaults={"is_trusted": True})
    if created:
        user.set_unusable_password()
        user.save(update_fields=["password"])
        audit.record(actor=None, action="user.created", target=user, data={"service": True})
    return user


def issue_token(*, user: User, name: str, actor: User | None, days: int | None = 365) -> str:
    """Issue an API token with the usual scopes. Returns its text, which is stored nowhere."""
    return create_token(user=user, name=name, actor=actor, days=days)[1]


@transaction.atomic
def create_token(
    *,
    user: User,
    name: str,
    actor: User | None,
    scopes: Sequence[str] | None = None,
    days: int | None = 365,
    via: ApiToken | None = None,
) -> tuple[ApiToken, str]:
    """Issue an API token. Returns it and its text, which is stored nowhere.

    `days` None is a token that does not expire. `via` is the token that asked for it, if one did:
    raises Refused (403) if the new one would have scopes that it lacks, and does not outlive it.
    Refused too for somebody who is locked out.
    """
    require_active(user)
    wanted = list(dict.fromkeys(scopes)) if scopes is not None else all_scopes()
    lives = [] if days is None else [timedelta(days=days)]
    if via is not None:
        _refuse_more(via, wanted)
        lives += [] if via.expiry is None else [via.expiry - timezone.now()]
    instance, text = ApiToken.objects.create(
        user=user, expiry=min(lives, default=None), name=name, scopes=wanted
    )
    audit.record(
        actor=actor,
        action="token.issued",
        target=user,
        data={"token": str(instance), "scopes": wanted},
    )
    return instance, text


@transaction.atomic
def revoke_token(*, token: ApiToken, actor: User | None, via: ApiToken | None = None) -> None:
    """Delete an API token; it stops working at once. A token revokes none that may do more."""
    if via is not None:
        _refuse_more(via, token.scopes)
    audit.record(actor=actor, action="token.revoked", target=token.user, data={"token": str(token)})
    token.delete()


def require_active(user: User) -> None:
    """Raise Refused (403) if a person was locked out, perhaps while their request was under way.

    Inside a transaction: until its end nobody can lock them out either, so that a ban comes
    either before all of what follows or after it.
    """
    if not User.objects.select_for_update(no_key=True).get(pk=user.pk).is_active:
        raise Refused(f"{user} is locked out", status=403)


def _refuse_more(via: ApiToken, scopes: Sequence[str]) -> None:
    if more := sorted(set(scopes) - set(via.scopes)):
        problem = Problem("scopes", f"The token you use lacks: {', '.join(more)}.", "scopes")
        raise Refused("A token cannot grant more than it has", [problem], 403)


@transaction.atomic
def deactivate(*, user: User, actor: User | None, reason: str) -> None:
    """Lock a person out at once: no sign-in, no sessions, no tokens. What they own stays."""
    User.objects.filter(pk=user.pk).update(is_active=False)
    user.refresh_from_db(fields=["is_active"])
    end_sessions(user)
    for token in user.auth_token_set.select_related("user"):
        revoke_token(token=token, actor=actor)
    audit.record(actor=actor, action="user.banned", target=user, data={"reason": reason})


@transaction.atomic
def activate(*, user: User, actor: User | None, reason: str = "") -> None:
    """Let a person in again; their sessions and tokens stay gone."""
    User.objects.filter(pk=user.pk).update(is_active=True)
    user.refresh_from_db(fields=["is_active"])
    # One may have begun while they were being locked out.
    end_sessions(user)
    audit.record(actor=actor, action="user.unbanned", target=user, data={"reason": reason})


def end_sessions(user: User) -> None:
    """Sign a person out everywhere."""
    # Whose a session is stands only inside it.
    for session in Session.objects.filter(expire_date__gte=timezone.now()).iterator():
        if session.get_decoded().get(SESSION_KEY) == str(user.pk):
            session.delete()


@transaction.atomic
def signed_up(user: User) -> None:
    """Record that a person made an account."""
    audit.record(actor=user, action="user.created", target=user)
