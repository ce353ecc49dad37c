"""Writing evaluations: starting them, moving them on, ending them."""

from django.db import transaction
from django.db.models.functions import Now

from environments import services as catalogue
from environments.models import Version
from environments.states import Review, Status
from graders import jobs
from graders.models import Evaluation, Job, Profile, ReferenceModel
from graders.states import (
    ACTIVE_STAGES,
    QUEUES,
    STAGE_OF_JOB,
    JobKind,
    JobStatus,
    Stage,
    stage_sources,
)
from graders.tooltext import ToolCalls
from hub.accounts.models import User
from hub.audit import services as audit
from hub.errors import Problem, Refused

EMBEDDED = "smollm2-135m"

_STATUS_OF_STAGE = {
    Stage.BUILDING: Status.BUILDING,
    Stage.INSPECTING: Status.INSPECTING,
    Stage.RUNNING: Status.RUNNING,
    Stage.SUMMARISING: Status.RUNNING,
    Stage.DONE: Status.EVALUATED,
}


@transaction.atomic
def ensure_embedded_model(base_url: str) -> ReferenceModel:
    """Register the embedded model server, or tell where it is now. Its sampler stays as edited."""
    model, created = ReferenceModel.objects.update_or_create(
        name=EMBEDDED,
        defaults={"base_url": base_url},
        create_defaults={
            "base_url": base_url,
            "model": "SmolLM2-135M-Instruct",
            "temperature": 0.7,
            "max_tokens": 256,
            "tool_calls": ToolCalls.TEXT,
            # Of two jobs at once: as many as the server has slots, so that each conversation
            # finds its slot, and what was read of it, again.
            "concurrency": 4,
            "is_default": not ReferenceModel.objects.filter(is_default=True).exists(),
        },
    )
    if created:
        audit.record(actor=None, action="model.created", target=model)
    return model


@transaction.atomic
def start(
    *,
    version: Version,
    actor: User | None,
    model: ReferenceModel | None = None,
    profile: Profile | None = None,
) -> Evaluation:
    """Start an evaluation, or return the one that is under way. Raises Refused if none can be."""
    model = model or ReferenceModel.objects.filter(is_default=True).first()
    profile = profile or Profile.objects.filter(is_default=True).first()
    if model is None or profile is None or not model.is_enabled:
        raise Refused(
            "There is nothing to measure with",
            [
                Problem(
                    "model", "An administrator has to set a default reference model and profile."
                )
            ],
            409,
        )
    version = runnable(version)
    if (found := under_way(version, model, profile)) is not None:
        return found
    evaluation = Evaluation.objects.create(
        version=version, model=model, profile=profile, settings=_settings(version, model, profile)
    )
    jobs.add(evaluation, JobKind.BUILD)
    audit.record(actor=actor, action="evaluation.started", target=evaluation)
    return evaluation


def under_way(version: Version, model: ReferenceModel, profile: Profile) -> Evaluation | None:
    """The evaluation of this version by this model and profile that is not over."""
    same = Evaluation.objects.filter(version=version, model=model, profile=profile)
    return same.filter(stage__in=ACTIVE_STAGES).first()


def runnable(version: Version) -> Version:
    """The version, locked, so that two evaluations of it do not begin at once. Raises Refused if
    it is not to be run."""
    locked = Version.objects.select_for_update().get(pk=version.pk)
    if locked.review in (Review.REJECTED, Review.QUARANTINED):
        raise Refused(f"{locked} is {locked.review} and is not run", status=409)
    return locked


def _settings(version: Version, model: ReferenceModel, profile: Profile) -> dict[str, object]:
    """Everything that shapes the numbers, as it is now: models and profiles are edited later."""
    return {
        "model": model.model,
        "temperature": model.temperature,
        "top_p": model.top_p,
        "tool_calls": model.tool_calls,
        "token_limit": min(model.max_tokens, profile.token_limit),
        "turn_limit": min(version.max_turns, profile.turn_limit),
        "tasks": profile.tasks,
        "rollouts": profile.rollouts,
        "group": profile.group,
        "prompts": profile.prompts,
        "profile": profile.name,
    }


def enter(job: Job) -> None:
    """Move the evaluation to the stage of a job that starts. Harmless if it is there already.

    Called inside `jobs.guarded`, as the others here that take a job.
    """
    evaluation = job.evaluation
    _move(evaluation, STAGE_OF_JOB[JobKind(job.kind)])
    Evaluation.objects.filter(pk=evaluation.pk, started__isnull=True).update(started=Now())


def built(job: Job) -> None:
    """The bundle is there: look inside next."""
    jobs.add(job.evaluation, JobKind.INSPECT)


def inspected(job: Job, *, shards: int) -> None:
    """The tasks are known: roll them out, one job a shard."""
    for shard in range(shards):
        jobs.add(job.evaluation, JobKind.ROLLOUTS, shard)


def rolled_out(job: Job) -> None:
    """A shard is done: after the last one, summarise."""
    # The lock makes two last shards take turns, so that one of them sees that all are done.
    Evaluation.objects.select_for_update().get(pk=job.evaluation_id)
    shards = Job.objects.filter(evaluation_id=job.evaluation_id, kind=JobKind.ROLLOUTS)
    if not shards.exclude(status=JobStatus.DONE).exists():
        jobs.add(job.evaluation, JobKind.SUMMARISE)


def complete(
    evaluation: Evaluation, *, report: dict[str, object], headline: dict[str, object]
) -> None:
    """Publish the report; a trusted owner's version that waits for review is approved."""
    Evaluation.objects.filter(pk=evaluation.pk, stage__in=stage_sources(Stage.DONE)).update(
        stage=Stage.DONE, finished=Now(), report=report
    )
    evaluation.refresh_from_db()
    version = evaluation.version
    catalogue.advance(version=version, status=Status.EVALUATED)
    catalogue.publish(version=version, measured=evaluation.finished, **headline)
    audit.record(actor=None, action="evaluation.done", target=evaluation)
    make_room()
    if version.review == Review.PENDING and version.environment.owner.is_trusted:
        catalogue.decide(version=version, review=Review.APPROVED, actor=None)


@transaction.atomic
def fail(evaluation: Evaluation, *, fault: str) -> None:
    """End an evaluation with a reason its owner can read; what else is open of it is cancelled."""
    changed = Evaluation.objects.filter(
        pk=evaluation.pk, stage__in=stage_sources(Stage.FAILED)
    ).update(stage=Stage.FAILED, finished=Now(), fault=fault)
    if not changed:
        return
    evaluation.refresh_from_db()
    jobs.cancel_all(evaluation)
    make_room()
    fail_version(evaluation.version, fault=fault)
    audit.record(
        actor=None, action="evaluation.failed", target=evaluation, data={"fault": fault[:500]}
    )


def make_room() -> None:
    """An evaluation is over: wake a worker for one that its owner has waiting, if there is one."""
    transaction.on_commit(lambda: jobs.top_up(QUEUES[JobKind.BUILD]))


def resume(evaluation: Evaluation, *, stage: Stage, why: str) -> None:
    """Let a failed evaluation go on at a stage, with the jobs that its failure ended."""
    Evaluation.objects.filter(pk=evaluation.pk, stage=Stage.FAILED).update(
        stage=stage, fault="", finished=None
    )
    evaluation.refresh_from_db()
    jobs.revive(evaluation, why=why)
    catalogue.advance(version=evaluation.version, status=_STATUS_OF_STAGE[stage])


def fail_version(version: Version, *, fault: str) -> None:
    """Let a version fail with its evaluation, unless another one under way still decides."""
    if not version.evaluations.filter(stage__in=ACTIVE_STAGES).exists():
        catalogue.advance(version=version, status=Status.FAILED, fault=fault)


@transaction.atomic
def retry(*, version: Version, actor: User) -> Evaluation:
    """Evaluate a version again, as its owner or a moderator asked."""
    return start(version=version, actor=actor)


def _move(evaluation: Evaluation, stage: Stage) -> None:
    changed = Evaluation.objects.filter(pk=evaluation.pk, stage__in=stage_sources(stage)).update(
        stage=stage
    )
    if changed:
        evaluation.refresh_from_db(fields=["stage"])
        if status := _STATUS_OF_STAGE.get(stage):
            catalogue.advance(version=evaluation.version, status=status)
