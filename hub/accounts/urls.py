"""Pages of one's own account: allauth's, and tokens."""

from django.urls import include, path, re_path

from hub.accounts import views

urlpatterns = [
    path("tokens/", views.tokens, name="account-tokens"),
    re_path(
        r"^tokens/(?P<key>[0-9a-f]{16})/revoke/$", views.revoke_token, name="account-token-revoke"
    ),
    path("", include("allauth.account.urls")),
]
