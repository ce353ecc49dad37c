"""The API's measures: statistics, tasks, rollouts, evaluations, reference models."""

import json
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.db.models.functions import Left
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import NotFound, PermissionDenied
from rest_framework.generics import ListAPIView
from rest_framework.permissions import BasePermission
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.throttling import UserRateThrottle

from environments.api import VersionView
from environments.permissions import can_manage
from environments.queries import visible_versions
from graders import operations, services, transcripts
from graders.models import Evaluation, ReferenceModel, Rollout, Task
from graders.serializers import (
    CancelSerializer,
    EvaluationRequestSerializer,
    EvaluationSerializer,
    ReferenceModelSerializer,
    RolloutSerializer,
    StatsSerializer,
    TaskSerializer,
    TranscriptSerializer,
    stats,
)
from graders.states import Stage
from hub.accounts.models import Scope
from hub.accounts.tokens import has_scope, viewer
from hub.rest import ApiView, KeysetPagination, problems

PREVIEW = 500  # characters of a prompt
MODEL = OpenApiParameter(
    "model", str, description="A reference model's name; the latest evaluation without any."
)


class NdjsonRenderer(JSONRenderer):
    """Lets `Accept: application/x-ndjson` be asked for; errors come as JSON."""

    media_type = "application/x-ndjson"
    format = "ndjson"


class EvaluateThrottle(UserRateThrottle):
    """How many evaluations one person may ask for."""

    scope = "evaluate"
    rate = "60/hour"


# A view of what a version's latest finished evaluation measured.
class MeasuredView(VersionView):
    def get_evaluation(self) -> Evaluation:
        """Raises NotFound, with what goes on instead, if there is none."""
        version = self.get_version()
        evaluations = Evaluation.objects.filter(version=version).select_related(
            "version", "model", "profile"
        )
        asked = self.request.query_params.get("model", "")
        if asked:
            evaluations = evaluations.filter(model__name=asked.replace("\x00", ""))
        done = evaluations.filter(stage=Stage.DONE).order_by("-finished", "-pk").first()
        if done is not None:
            return done
        last = evaluations.first()
        against = f" against '{asked}'" if asked else ""
        if last is None:
            raise NotFound(f"{version} has not been evaluated{against} yet.")
        raise NotFound(
            f"{version} has no finished evaluation{against}: the latest one is {last.stage}."
        )


class Stats(MeasuredView):
    @extend_schema(
        summary="How hard and how diverse a version is",
        parameters=[MODEL],
        responses={200: StatsSerializer, **problems(404)},
    )
    def get(self, request: Request, **_: str) -> Response:
        evaluation = self.get_evaluation()
        rollouts = Rollout.objects.filter(task__evaluation=evaluation).count()
        return Response(StatsSerializer(stats(evaluation, rollouts)).data)


class TaskFilter(filters.FilterSet):
    p_min = filters.NumberFilter("p", "gte", label="Least solve rate.")
    p_max = filters.NumberFilter("p", "lte", label="Greatest solve rate.")

    class Meta:
        model = Task
        fields: list[str] = []


class Tasks(MeasuredView, ListAPIView):
    serializer_class = TaskSerializer
    pagination_class = KeysetPagination
    filterset_class = TaskFilter
    queryset = Task.objects.none()

    def get_queryset(self) -> QuerySet[Task]:
        tasks = Task.objects.filter(evaluation=self.get_evaluation())
        return tasks.annotate(preview=Left("prompt", PREVIEW)).defer("prompt", "embedding")

    def get_keys(self) -> list[str]:
        return ["position"]

    @extend_schema(
        summary="The tasks and how hard each is",
        parameters=[MODEL],
        responses={200: TaskSerializer, **problems(400, 404)},
    )
    def get(self, request: Request, **_: str) -> Response:
        return self.list(request)


class RolloutFilter(filters.FilterSet):
    task = filters.NumberFilter("task__index", label="A task's index.", decimal_places=0)
    passed = filters.BooleanFilter(label="Only those that passed, or only those that did not.")
    min_reward = filters.NumberFilter("reward", "gte", label="Least reward.")

    class Meta:
        model = Rollout
        fields: list[str] = []


# A view of rollouts, which link to themselves.
class RolloutView(MeasuredView):
    def get_serializer_context(self) -> dict[str, Any]:
        route = {key: self.kwargs.get(key) for key in ("owner", "name", "version")}
        asked = self.request.query_params.get("model") if self.request else None
        query = urlencode({"model": asked}) if asked else ""
        return {**super().get_serializer_context(), "route": route, "query": query}


class Rollouts(RolloutView, ListAPIView):
    serializer_class = RolloutSerializer
    pagination_class = KeysetPagination
    filterset_class = RolloutFilter
    renderer_classes = [JSONRenderer, NdjsonRenderer]
    queryset = Rollout.objects.none()

    def get_queryset(self) -> QuerySet[Rollout]:
        rollouts = Rollout.objects.filter(task__evaluation=self.get_evaluation())
        return rollouts.select_related("task").defer("task__prompt", "task__embedding")

    def get_keys(self) -> list[str]:
        return ["task__position", "number"]

    @extend_schema(
        summary="Rollouts; all of them with transcripts as NDJSON",
        description="`Accept: application/x-ndjson` streams every rollout that fits, a line each, "
        "with its `messages`. Otherwise pages of metadata.",
        parameters=[MODEL],
        responses={
            (200, "application/json"): RolloutSerializer(many=True),
            (200, "application/x-ndjson"): OpenApiTypes.STR,
            **problems(400, 404),
        },
    )
    def get(self, request: Request, **_: str) -> HttpResponseBase:
        if not isinstance(request.accepted_renderer, NdjsonRenderer):
            return self.list(request)
        rollouts = self.filter_queryset(self.get_queryset()).order_by(*self.get_keys())
        return StreamingHttpResponse(self._lines(rollouts), content_type=NdjsonRenderer.media_type)

    def _lines(self, rollouts: QuerySet[Rollout]) -> Iterator[bytes]:
        context = self.get_serializer_context()
        for rollout in rollouts.iterator(chunk_size=200):
            yield json.dumps(_with_transcript(rollout, context)).encode() + b"\n"


class RolloutDetail(RolloutView):
    @extend_schema(
        summary="One rollout with its transcript",
        parameters=[MODEL],
        responses={200: TranscriptSerializer, **problems(404)},
    )
    def get(self, request: Request, task: int, number: int, **_: str) -> Response:
        rollouts = Rollout.objects.filter(task__evaluation=self.get_evaluation())
        rollout = get_object_or_404(
            rollouts.select_related("task"), task__index=task, number=number
        )
        return Response(_with_transcript(rollout, self.get_serializer_context()))


def _with_transcript(rollout: Rollout, context: dict[str, Any]) -> dict[str, Any]:
    place = transcripts.Place(
        rollout.transcript_key, rollout.transcript_offset, rollout.transcript_length
    )
    metadata = RolloutSerializer(rollout, context=context).data
    return {**metadata, "messages": transcripts.read(place)}


class Evaluations(VersionView):
    throttle_classes = [EvaluateThrottle]

    def get_permissions(self) -> Sequence[BasePermission]:
        return [has_scope(Scope.EVALUATE)()]

    @extend_schema(
        summary="Ask for an evaluation",
        description="For the owner and moderators. The one under way is returned if there is one.",
        request=EvaluationRequestSerializer,
        responses={202: EvaluationSerializer, **problems(400, 401, 403, 404, 409, 429)},
    )
    def post(self, request: Request, **_: str) -> Response:
        version = self.get_version()
        if not can_manage(request.user, version):
            raise PermissionDenied("Only the owner and moderators may ask for an evaluation.")
        asked = EvaluationRequestSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        evaluation = services.start(version=version, actor=request.user, **asked.validated_data)
        answer = EvaluationSerializer(evaluation, context=self.get_serializer_context())
        url = reverse("api-evaluation", args=[evaluation.pk], request=request)
        return Response(answer.data, 202, headers={"Location": url})


# A view of one evaluation, which its number names.
class EvaluationView(ApiView):
    queryset: QuerySet[Any] = Evaluation.objects.none()

    def get_evaluation(self) -> Evaluation:
        """The evaluation. Http404 if there is none or the viewer may not see its version."""
        visible = visible_versions(viewer(self.request))
        found = Evaluation.objects.filter(version__in=visible).select_related(
            "version__environment__owner", "model", "profile"
        )
        return get_object_or_404(found, pk=self.kwargs["pk"])

    def answer(self, evaluation: Evaluation) -> Response:
        context = self.get_serializer_context()
        return Response(EvaluationSerializer(evaluation, context=context).data)


class EvaluationDetail(EvaluationView):
    @extend_schema(
        summary="How far an evaluation is",
        responses={200: EvaluationSerializer, **problems(404)},
    )
    def get(self, request: Request, pk: int) -> Response:
        return self.answer(self.get_evaluation())


class CancelEvaluation(EvaluationView):
    def get_permissions(self) -> Sequence[BasePermission]:
        return [has_scope(Scope.EVALUATE)()]

    @extend_schema(
        summary="Cancel an evaluation",
        description="For the owner and moderators. What runs is stopped within seconds; what was "
        "done stays to be read, and the version can be evaluated again. 409 if it is over.",
        request=CancelSerializer,
        responses={200: EvaluationSerializer, **problems(400, 401, 403, 404, 409)},
    )
    def post(self, request: Request, pk: int) -> Response:
        evaluation = self.get_evaluation()
        if not can_manage(request.user, evaluation.version):
            raise PermissionDenied("Only the owner and moderators may cancel an evaluation.")
        asked = CancelSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        operations.cancel(
            evaluation=evaluation,
            actor=request.user,
            **asked.validated_data,
        )
        return self.answer(evaluation)


class ReferenceModels(ApiView, ListAPIView):
    serializer_class = ReferenceModelSerializer
    pagination_class = KeysetPagination
    filter_backends: Sequence[type] = []
    queryset = ReferenceModel.objects.filter(is_enabled=True)

    def get_keys(self) -> list[str]:
        return ["name"]

    @extend_schema(
        summary="The reference models and their samplers",
        responses={200: ReferenceModelSerializer},
    )
    def get(self, request: Request) -> Response:
        return self.list(request)
