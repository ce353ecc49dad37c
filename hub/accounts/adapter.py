"""What allauth asks the hub about accounts."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest

from hub.accounts import services
from hub.accounts.models import User


class AccountAdapter(DefaultAccountAdapter):
    """Usernames are addresses: lowercase, and by the rules of `hub.accounts.names`."""

    error_messages = DefaultAccountAdapter.error_messages | {
        "username_taken": "This name is taken. Choose another.",
    }

    def clean_username(self, username: str, shallow: bool = False) -> str:
        return super().clean_username(username.lower(), shallow=shallow)

    def save_user(self, request: HttpRequest, user: User, form: Any, commit: bool = True) -> User:
        user = super().save_user(request, user, form, commit=commit)
        if commit:
            services.signed_up(user)
        return user
