"""The API's addresses of what was measured."""

from django.urls import path

from environments.api_urls import VERSION
from graders import api

urlpatterns = [
    path(f"{VERSION}stats/", api.Stats.as_view(), name="api-stats"),
    path(f"{VERSION}tasks/", api.Tasks.as_view(), name="api-tasks"),
    path(f"{VERSION}rollouts/", api.Rollouts.as_view(), name="api-rollouts"),
    path(
        f"{VERSION}rollouts/<int:task>/<int:number>/",
        api.RolloutDetail.as_view(),
        name="api-rollout",
    ),
    path(f"{VERSION}evaluations/", api.Evaluations.as_view(), name="api-evaluations"),
    path("evaluations/<int:pk>/", api.EvaluationDetail.as_view(), name="api-evaluation"),
    path("evaluations/<int:pk>/cancel/", api.CancelEvaluation.as_view(), name="api-cancel"),
    path("models/", api.ReferenceModels.as_view(), name="api-models"),
]
