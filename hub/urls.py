"""Every address of the site, the fixed ones first: `/{owner}/{name}/` takes what is left."""

from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView

from hub import views

handler429 = "hub.views.too_many"
handler500 = "hub.views.broken"

api = [
    path("", include("hub.accounts.api_urls")),
    path("", include("environments.api_urls")),
    path("", include("graders.api_urls")),
    path("schema/", SpectacularAPIView.as_view(), name="api-schema"),
    path("docs/", views.api_docs, name="api-docs"),
]

urlpatterns = [
    path("", views.home, name="home"),
    path("healthz", views.healthz, name="healthz"),
    path("readyz", views.readyz, name="readyz"),
    path(".well-known/security.txt", views.security_txt, name="security-txt"),
    path("admin/", admin.site.urls),
    path("accounts/", include("hub.accounts.urls")),
    path("api/v1/", include(api)),
    path("", include("environments.urls")),
    path("", include("graders.urls")),
]
