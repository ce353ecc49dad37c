"""What operators do by hand to evaluations, and to what measures."""

from django.db import transaction
from django.db.models.functions import Now

from graders import jobs, services
from graders.models import Evaluation, Job, Profile, ReferenceModel
from graders.states import STAGE_OF_JOB, JobKind, JobStatus, Stage, stage_sources
from hub.accounts.models import User
from hub.audit import services as audit
from hub.errors import Refused


@transaction.atomic
def cancel(*, evaluation: Evaluation, actor: User, reason: str = "") -> None:
    """Stop an evaluation, within seconds. What it did stays to be read, and the version can be
    evaluated again. Raises Refused if it is over."""
    changed = Evaluation.objects.filter(
        pk=evaluation.pk, stage__in=stage_sources(Stage.CANCELLED)
    ).update(stage=Stage.CANCELLED, finished=Now())
    evaluation.refresh_from_db()
    if not changed:
        raise Refused(f"{evaluation} is already {evaluation.stage}", status=409)
    jobs.cancel_all(evaluation)
    services.make_room()
    words = f"The evaluation was cancelled by {actor}"
    services.fail_version(evaluation.version, fault=f"{words}: {reason}" if reason else f"{words}.")
    audit.record(
        actor=actor, action="evaluation.cancelled", target=evaluation, data={"reason": reason}
    )


@transaction.atomic
def requeue(*, job: Job, actor: User, reason: str = "") -> None:
    """Try a dead job again, three times as at first, and let its evaluation go on from there.

    Raises Refused if it is not dead, if its version is not to be run, or if the same evaluation has
    been started anew.
    """
    services.runnable(job.evaluation.version)
    evaluation = Evaluation.objects.select_for_update(no_key=True).get(pk=job.evaluation_id)
    job.refresh_from_db()
    if job.status != JobStatus.DEAD or evaluation.stage != Stage.FAILED:
        raise Refused(f"{job} is {job.status}: only dead jobs are put back", status=409)
    if services.under_way(evaluation.version, evaluation.model, evaluation.profile) is not None:
        raise Refused(f"{evaluation} is under way again: this job is not needed", status=409)
    services.resume(
        evaluation, stage=STAGE_OF_JOB[JobKind(job.kind)], why=f"put back by {actor}: {reason}"
    )
    audit.record(actor=actor, action="job.requeued", target=job, data={"reason": reason})


@transaction.atomic
def make_default(*, target: ReferenceModel | Profile, actor: User) -> None:
    """Measure new versions with this model or profile. Raises Refused for a disabled model."""
    if isinstance(target, ReferenceModel) and not target.is_enabled:
        raise Refused(f"{target} is disabled: enable it first", status=409)
    others = type(target).objects.select_for_update().filter(is_default=True)
    others.exclude(pk=target.pk).update(is_default=False)
    type(target).objects.filter(pk=target.pk).update(is_default=True)
    target.refresh_from_db()
    audit.record(actor=actor, action=f"{target._meta.model_name}.made-default", target=target)
