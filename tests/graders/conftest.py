"""What the graders' tests share."""

from collections.abc import Iterator

import pytest

from graders.models import Job
from tests.factories import make_evaluation
from tests.graders.scripted import Server


@pytest.fixture
def job(db: None) -> Job:
    """The first job of an evaluation."""
    return make_evaluation().jobs.get()


@pytest.fixture
def server() -> Iterator[Server]:
    """A model server that does what the test tells it to."""
    started = Server()
    yield started
    started.stop()
