"""API tokens at the door: who is asking, and what the token allows."""

from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.views.decorators.debug import sensitive_variables
from knox.auth import TokenAuthentication as KnoxTokenAuthentication
from rest_framework.exceptions import AuthenticationFailed, Throttled
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from hub.accounts.models import ApiToken, Scope, User


class FailureThrottle(SimpleRateThrottle):
    """Tokens that are none, from one address. Tokens that are good are never held up by it:
    many programs share an address, and a token is too long to be guessed."""

    scope = "token-failure"
    rate = "30/min"

    def get_cache_key(self, request: Request, view: Any) -> str:
        return self.cache_format % {"scope": self.scope, "ident": self.get_ident(request)}


class TokenAuthentication(KnoxTokenAuthentication):
    """`Authorization: Token …` or `Bearer …`; inactive people and expired tokens are refused."""

    @sensitive_variables("text")
    def authenticate(self, request: Request) -> Any:
        scheme, _, text = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() not in ("token", "bearer"):
            return None
        try:
            return self.authenticate_credentials(text.strip())
        except AuthenticationFailed:
            throttle = FailureThrottle()
            if not throttle.allow_request(request, None):
                raise Throttled(throttle.wait()) from None
            raise

    @sensitive_variables("token")
    def authenticate_credentials(self, token: str) -> tuple[User, ApiToken]:
        if not token.isascii() or not token.isprintable():
            raise AuthenticationFailed("Invalid token.")
        user, instance = super().authenticate_credentials(token.encode())
        # A token without the scope leaves a moderator the rights of everybody else.
        user.moderates_now = Scope.MODERATE in instance.scopes
        return user, instance


def viewer(request: Request) -> User | AnonymousUser:
    """Whose eyes a request sees with: nobody's in particular if its token may not read."""
    if isinstance(request.auth, ApiToken) and Scope.READ not in request.auth.scopes:
        return AnonymousUser()
    return request.user


class _HasScope(BasePermission):
    scope: Scope
    message = ""

    def has_permission(self, request: Request, view: Any) -> bool:
        if not request.user or not request.user.is_authenticated:
            return False
        # A browser session has every scope its user has; a token only those it was given.
        return not isinstance(request.auth, ApiToken) or self.scope in request.auth.scopes


def has_scope(scope: Scope) -> type[BasePermission]:
    """A permission class: signed in, and with a token only if it has this scope."""
    message = f"This token lacks the scope '{scope.value}'. Make one that has it."
    return type(f"Has{scope.name.title()}Scope", (_HasScope,), {"scope": scope, "message": message})
