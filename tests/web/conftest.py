"""People, versions and real measurements to look at."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from django.test import Client

from environments import services as catalogue
from environments.models import Environment, Version
from environments.states import Review, Status
from graders import jobs, transcripts
from graders.beating import Heartbeat
from graders.models import Evaluation, Rollout, Task
from graders.pipeline import summarising
from graders.states import JobKind, Stage
from hub.accounts.models import User
from tests.chromium import browser, complaints, context, page, sign_in
from tests.factories import make_evaluation, make_user, make_version

__all__ = ["browser", "complaints", "context", "page", "sign_in"]

SAID = 'A <b>bold</b> guess & <script>alert("x")</script>\n\n    indented'
TASKS, ROLLOUTS = 4, 4
# Rewards of each task's rollouts: p = 0, 0.25, 0.75 and 1.
REWARDS = [[0, 0, 0, 0], [0, 1, 0, 0], [1, 1, 0, 1], [1, 1, 1, 1]]


@pytest.fixture
def ada(db) -> User:
    return make_user("ada")


@pytest.fixture
def moderator(db) -> User:
    return make_user("mod", is_superuser=True)


@pytest.fixture
def as_user(client: Client) -> Callable[[User], Client]:
    """A browser in which that person is signed in."""

    def sign_in(user: User) -> Client:
        client.force_login(user)
        return client

    return sign_in


def publish(owner: User, name: str, number: str = "1.0.0", **fields: object) -> Version:
    """A public version of `owner/name`; what it was measured to be is not there."""
    environment, _ = Environment.objects.get_or_create(owner=owner, name=name)
    version = make_version(owner, environment=environment, number=number, **fields)
    catalogue.decide(version=version, review=Review.APPROVED, actor=None)
    environment.refresh_from_db()
    version.environment = environment
    return version


def start(version: Version) -> Evaluation:
    """An evaluation with all its rollouts done and none of it summarised."""
    evaluation = make_evaluation(version, tasks=TASKS, rollouts=ROLLOUTS, group=ROLLOUTS)
    generator = np.random.default_rng(3)
    tasks = Task.objects.bulk_create(
        Task(
            evaluation=evaluation,
            index=10 + position,
            position=position,
            prompt=f"Problem {position}: <i>what</i> is it?",
            embedding=generator.normal(size=384),
            has_near_duplicate=position == 0,
        )
        for position in range(TASKS)
    )
    messages = [
        {"role": "system", "content": "Answer."},
        {"role": "user", "content": "What is it?"},
        {
            "role": "assistant",
            "content": SAID,
            "finish_reason": "length",
            "usage": {"prompt_tokens": 9, "completion_tokens": 7},
        },
    ]
    (place,) = transcripts.write(evaluation.pk, [messages])
    Rollout.objects.bulk_create(
        Rollout(
            task=task,
            number=number,
            seed=100 * task.index + number,
            reward=reward,
            passed=reward == 1,
            turns=1,
            tokens_in=9,
            tokens_out=7,
            truncated=True,
            seconds=0.5,
            metrics={"format": 1.0},
            transcript_key=place.key,
            transcript_offset=place.offset,
            transcript_length=place.length,
        )
        for task in tasks
        for number, reward in enumerate(REWARDS[task.position])
    )
    Evaluation.objects.filter(pk=evaluation.pk).update(
        stage=Stage.RUNNING, rollouts_planned=TASKS * ROLLOUTS, sandbox="bubblewrap"
    )
    Version.objects.filter(pk=version.pk).update(status=Status.RUNNING, fault="")
    evaluation.refresh_from_db()
    version.refresh_from_db()
    return evaluation


def measure(version: Version) -> Evaluation:
    """A completed evaluation, summarised by the step that workers take."""
    evaluation = start(version)
    Evaluation.objects.filter(pk=evaluation.pk).update(stage=Stage.SUMMARISING)
    jobs.add(evaluation, JobKind.SUMMARISE)
    held = jobs.claim("stats", worker="test")
    assert held is not None
    summarising.run(held, Heartbeat(held))
    evaluation.refresh_from_db()
    version.refresh_from_db()
    return evaluation


def say(evaluation: Evaluation, messages: list[dict[str, Any]], **fields: object) -> None:
    """Make this what was said in rollout 11.1."""
    (place,) = transcripts.write(evaluation.pk, [messages])
    Rollout.objects.filter(task__evaluation=evaluation, task__index=11, number=1).update(
        transcript_key=place.key,
        transcript_offset=place.offset,
        transcript_length=place.length,
        **fields,
    )


@pytest.fixture
def measured(ada: User) -> Evaluation:
    """ada/sums 1.0.0, public and measured."""
    version = publish(
        ada,
        "sums",
        summary="Add two numbers",
        readme="# Sums\n\n[local](docs/a.md) ![pic](https://pics.example/a.png)",
        domains=["mathematics"],
        strategies=["verification"],
        license="MIT",
        format="dataset",
    )
    return measure(version)
