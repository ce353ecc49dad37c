"""The API's account and tokens."""

from collections.abc import Sequence

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from hub.accounts import services
from hub.accounts.models import ApiToken, all_scopes
from hub.accounts.serializers import (
    MeSerializer,
    NewTokenSerializer,
    TokenRequestSerializer,
    TokenSerializer,
)
from hub.rest import ApiView, KeysetPagination, problems


class Me(ApiView):
    permission_classes = [IsAuthenticated]
    serializer_class = MeSerializer

    @extend_schema(summary="The account that asks", responses={200: MeSerializer, **problems(401)})
    def get(self, request: Request) -> Response:
        return Response(self.get_serializer(request.user).data)


class Tokens(ApiView, ListAPIView):
    permission_classes = [IsAuthenticated]
    serializer_class = TokenSerializer
    pagination_class = KeysetPagination
    filter_backends: Sequence[type] = []

    def get_queryset(self) -> QuerySet[ApiToken]:
        return ApiToken.objects.filter(user=self.request.user.pk)

    def get_keys(self) -> list[str]:
        return ["-created", "pk"]

    @extend_schema(summary="Your tokens", responses={200: TokenSerializer, **problems(401)})
    def get(self, request: Request) -> Response:
        return self.list(request)

    @extend_schema(
        summary="Make a token",
        description="Its text is in this answer and nowhere else. A token cannot make one that "
        "may do more than itself or lasts longer.",
        request=TokenRequestSerializer,
        responses={201: NewTokenSerializer, **problems(400, 401, 403)},
    )
    def post(self, request: Request) -> Response:
        asked = TokenRequestSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        via = request.auth if isinstance(request.auth, ApiToken) else None
        wanted = asked.validated_data.get("scopes")
        if wanted is None and via is not None:
            wanted = [scope for scope in all_scopes() if scope in via.scopes]
        token, text = services.create_token(
            user=request.user,
            actor=request.user,
            name=asked.validated_data["name"],
            scopes=wanted,
            days=asked.validated_data["days"],
            via=via,
        )
        token.token = text
        return Response(NewTokenSerializer(token).data, 201, headers={"Cache-Control": "no-store"})


class Token(ApiView):
    permission_classes = [IsAuthenticated]
    queryset = ApiToken.objects.none()

    @extend_schema(
        summary="Revoke a token",
        request=None,
        responses={204: None, **problems(401, 403, 404)},
    )
    def delete(self, request: Request, key: str) -> Response:
        mine = ApiToken.objects.filter(user=request.user.pk)
        token = get_object_or_404(mine, digest__startswith=key)
        via = request.auth if isinstance(request.auth, ApiToken) else None
        services.revoke_token(token=token, actor=request.user, via=via)
        return Response(status=204)
