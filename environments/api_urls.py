"""The API's addresses of the catalogue."""

from django.urls import path

from environments import api

ENVIRONMENT = "environments/<slug:owner>/<slug:name>/"
VERSION = f"{ENVIRONMENT}versions/<str:version>/"

urlpatterns = [
    path("environments/", api.Environments.as_view(), name="api-environments"),
    path(ENVIRONMENT, api.Environment.as_view(), name="api-environment"),
    path(f"{ENVIRONMENT}versions/", api.Versions.as_view(), name="api-versions"),
    path(VERSION, api.VersionDetail.as_view(), name="api-version"),
    path(f"{VERSION}archive", api.Archive.as_view(), name="api-archive"),
]
