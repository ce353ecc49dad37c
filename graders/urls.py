from django.urls import path

from graders import views

VERSION = "<str:owner>/<str:name>/<str:number>/"

urlpatterns = [
    path("<str:owner>/<str:name>/", views.environment, name="environment"),
    path(VERSION, views.version, name="version"),
    path(f"{VERSION}tasks/", views.tasks, name="version-tasks"),
    path(f"{VERSION}rollouts/", views.rollouts, name="version-rollouts"),
    path(f"{VERSION}rollouts/<int:task>/<int:rollout>/", views.rollout, name="rollout"),
    path(f"{VERSION}versions/", views.versions, name="version-versions"),
    path(f"{VERSION}progress/", views.progress, name="version-progress"),
    path(f"{VERSION}retry/", views.retry, name="version-retry"),
    path(f"{VERSION}evaluations/<int:evaluation>/", views.evaluation, name="evaluation"),
    path(f"{VERSION}evaluations/<int:evaluation>/cancel/", views.cancel, name="evaluation-cancel"),
]
