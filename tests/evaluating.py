"""A version's whole way: uploaded through the REST API, then every job that a worker would do."""

import io
from pathlib import Path

from rest_framework.test import APIClient

from environments import packing
from environments.models import Version
from graders import sweeping, working
from graders.models import Evaluation
from graders.states import KINDS
from hub.accounts.models import User
from hub.accounts.services import issue_token


def upload(owner: User, folder: Path, name: str | None = None) -> Version:
    """The version that a project's folder becomes; `name` is the environment's, if not its own."""
    client = APIClient(HTTP_AUTHORIZATION=f"Token {issue_token(user=owner, name='t', actor=None)}")
    archive = io.BytesIO(packing.pack(folder))
    archive.name = f"{folder.name}.tar.gz"
    name = name or folder.name
    response = client.post(
        f"/api/v1/environments/{owner}/{name}/versions/", {"archive": archive}, format="multipart"
    )
    assert response.status_code == 201, response.content
    return Version.objects.get(environment__owner=owner, environment__name=name)


def evaluate(version: Version) -> Evaluation:
    """Do what the workers would, one job after the other."""
    sweeping.begin(version.pk)
    while any(working.work(queue, worker="test") for queue in KINDS):
        pass
    version.refresh_from_db()
    return version.evaluations.get()
