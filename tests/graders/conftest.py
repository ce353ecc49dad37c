import pytest

from graders.models import Job
from tests.factories import make_evaluation


@pytest.fixture
def job(db: None) -> Job:
    """The first job of an evaluation."""
    return make_evaluation().jobs.get()
