"""The API's addresses of accounts and tokens."""

from django.urls import path, re_path

from hub.accounts import api

urlpatterns = [
    path("me/", api.Me.as_view(), name="api-me"),
    path("tokens/", api.Tokens.as_view(), name="api-tokens"),
    re_path(r"^tokens/(?P<key>[0-9a-f]{16})/$", api.Token.as_view(), name="api-token"),
]
