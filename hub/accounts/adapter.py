"""What allauth asks the hub about accounts."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.core.ratelimit import respond_429
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from hub.accounts import services
from hub.accounts.models import User


class AccountAdapter(DefaultAccountAdapter):
    """Usernames are addresses: lowercase, and by the rules of `hub.accounts.names`."""

    error_messages = DefaultAccountAdapter.error_messages | {
        "username_taken": "This name is taken. Choose another.",
    }

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Counts an attempt to sign in; answers with the page for too many of them."""
        try:
            super().pre_authenticate(request, **credentials)
        except ValidationError as error:
            raise ImmediateHttpResponse(respond_429(request)) from error

    def clean_username(self, username: str, shallow: bool = False) -> str:
        return super().clean_username(username.lower(), shallow=shallow)

    def save_user(self, request: HttpRequest, user: User, form: Any, commit: bool = True) -> User:
        user = super().save_user(request, user, form, commit=commit)
        if commit:
            services.signed_up(user)
        return user
