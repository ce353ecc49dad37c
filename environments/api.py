"""The API's catalogue: searching, reading, uploading, downloading."""

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.parsers import MultiPartParser
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response

from environments import quotas, services
from environments.archives import LIMITS
from environments.downloads import archive_response
from environments.filters import DEFAULT_ORDER, ORDERS, CatalogueFilter, catalogue
from environments.models import Version
from environments.queries import can_upload_to, visible_versions
from environments.serializers import (
    EnvironmentDetailSerializer,
    EnvironmentSerializer,
    SubmissionSerializer,
    UploadSerializer,
    VersionDetailSerializer,
    VersionSerializer,
    address,
)
from environments.uploads import arriving
from hub.accounts.models import Scope, User
from hub.accounts.tokens import has_scope, viewer
from hub.errors import Refused
from hub.rest import MIB, ApiView, KeysetPagination, problems


# A view of one version, which its address names.
class VersionView(ApiView):
    queryset: QuerySet[Any] = Version.objects.none()

    def get_version(self) -> Version:
        """The version. Http404 if there is none or the viewer may not see it."""
        if not self.kwargs["version"].isprintable():
            raise Http404
        return get_object_or_404(
            visible_versions(viewer(self.request)).select_related("headline"),
            environment__owner__username=self.kwargs["owner"],
            environment__name=self.kwargs["name"],
            number=self.kwargs["version"],
        )


class Environments(ApiView, ListAPIView):
    serializer_class = EnvironmentSerializer
    pagination_class = KeysetPagination
    filterset_class = CatalogueFilter
    queryset = Version.objects.none()

    def get_queryset(self) -> QuerySet[Version]:
        versions = catalogue(viewer(self.request)).defer("readme", "changelog", "lock")
        order = self._order()
        return versions.annotate(**{_place(order): ORDERS[order]})

    def get_keys(self) -> list[str]:
        order = self._order()
        return [f"-{_place(order)}" if order.startswith("-") else _place(order), "pk"]

    def _order(self) -> str:
        order = self.request.query_params.get("sort", DEFAULT_ORDER)
        return order if order in ORDERS else DEFAULT_ORDER

    @extend_schema(
        summary="Search the environments",
        responses={200: EnvironmentSerializer, **problems(400)},
    )
    def get(self, request: Request) -> Response:
        return self.list(request)


class Environment(ApiView):
    queryset = Version.objects.none()

    @extend_schema(
        summary="An environment and its latest version",
        responses={200: EnvironmentDetailSerializer, **problems(404)},
    )
    def get(self, request: Request, owner: str, name: str) -> Response:
        version = get_object_or_404(
            catalogue(viewer(request)), environment__owner__username=owner, environment__name=name
        )
        context = self.get_serializer_context()
        return Response(EnvironmentDetailSerializer(version, context=context).data)


class Versions(ApiView, ListAPIView):
    serializer_class = VersionSerializer
    pagination_class = KeysetPagination
    filter_backends: Sequence[type] = []
    parser_classes = [MultiPartParser]
    queryset = Version.objects.none()
    # The archive, and room for the parts around it.
    max_body = LIMITS.compressed_bytes + MIB

    def get_permissions(self) -> Sequence[BasePermission]:
        return [has_scope(Scope.UPLOAD)()] if self.request.method == "POST" else []

    def get_queryset(self) -> QuerySet[Version]:
        versions = visible_versions(viewer(self.request)).filter(
            environment__owner__username=self.kwargs["owner"], environment__name=self.kwargs["name"]
        )
        return versions.select_related("headline").defer("readme", "changelog", "lock")

    def get_keys(self) -> list[str]:
        return ["-created", "-pk"]

    @extend_schema(
        summary="Versions of an environment, newest first",
        responses={200: VersionSerializer, **problems(404)},
    )
    def get(self, request: Request, owner: str, name: str) -> Response:
        if not self.get_queryset().exists():
            raise Http404
        return self.list(request)

    @extend_schema(
        summary="Upload a version",
        description="The archive says name and version. Where it declares several environments, "
        "one version of each is added, all or none; the address may have the package's name or "
        "that of any of them, and the answer is that one's. 200 if the hub has these very bytes. "
        "422 names every fault found; nothing is kept then. 413 with the code `quota` says how "
        "much is used and allowed; 429 has a `Retry-After`.",
        request={"multipart/form-data": UploadSerializer},
        responses={
            (200, "application/json"): SubmissionSerializer,
            (201, "application/json"): SubmissionSerializer,
            **problems(400, 401, 403, 404, 409, 413, 422, 429, 507),
        },
    )
    def post(self, request: Request, owner: str, name: str) -> Response:
        person = get_object_or_404(User, username=owner)
        if not can_upload_to(request.user, person):
            raise Refused(f"You may not upload as {person}", status=403)
        # Before the body is read; `submit` counts.
        quotas.refuse_too_many(request.user)
        asked = UploadSerializer(data=_body(request))
        asked.is_valid(raise_exception=True)
        upload = asked.validated_data["archive"]
        made = services.submit(
            file=upload,
            filename=upload.name,
            owner=person,
            name=name,
            actor=request.user,
            changelog=asked.validated_data["changelog"],
        )
        context = self.get_serializer_context() | {"versions": made.versions}
        return Response(
            SubmissionSerializer(made.version, context=context).data,
            201 if made.is_new else 200,
            headers={"Location": address("api-version", made.version, request)},
        )


class VersionDetail(VersionView):
    @extend_schema(summary="A version", responses={200: VersionDetailSerializer, **problems(404)})
    def get(self, request: Request, **_: str) -> Response:
        context = self.get_serializer_context()
        return Response(VersionDetailSerializer(self.get_version(), context=context).data)


class Archive(VersionView):
    @extend_schema(
        summary="The bytes of a version",
        description="`ETag` is the SHA-256. Takes `Range`, `If-Range` and `If-None-Match`.",
        responses={
            (200, "application/octet-stream"): OpenApiTypes.BINARY,
            (206, "application/octet-stream"): OpenApiTypes.BINARY,
            304: None,
            416: None,
            **problems(404),
        },
    )
    def get(self, request: Request, **_: str) -> HttpResponseBase:
        return archive_response(request._request, self.get_version())


def _place(order: str) -> str:
    """The annotation that rows are ordered by."""
    return f"by_{order.lstrip('-')}"


def _body(request: Request) -> Any:
    """The parsed body; its files lie in the disk's temporary folder by now."""
    with arriving(request._request):
        return request.data
