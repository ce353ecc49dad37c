"""Reading what was measured. Who may see a version is the catalogue's decision."""

from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.http import Http404

from environments.models import Version
from environments.queries import Viewer, of_package, visible_versions
from graders import scheduling
from graders.models import Evaluation, Rollout, Task
from graders.states import ACTIVE_STAGES, JobStatus, Stage
from hub.accounts import quotas

TASK_SORTS: Final[dict[str, tuple[str, Any]]] = {
    "": ("in order", F("position").asc()),
    "index": ("number", F("index").asc()),
    "p": ("hardest", F("p").asc(nulls_last=True)),
    "-p": ("easiest", F("p").desc(nulls_last=True)),
    "-signal": ("most signal", F("signal").desc(nulls_last=True)),
    "-reward": ("greatest reward", F("mean_reward").desc(nulls_last=True)),
}


@dataclass(frozen=True)
class Progress:
    """How far an evaluation under way is."""

    evaluation: Evaluation
    done: int
    waits_for: str

    @property
    def planned(self) -> int:
        return self.evaluation.rollouts_planned


def version(viewer: Viewer, owner: str, name: str, number: str) -> Version:
    """One version. Raises Http404 if there is none, or none for this viewer."""
    found = _versions(viewer, owner, name).filter(number=number).first()
    if found is None:
        raise Http404
    return found


def latest(viewer: Viewer, owner: str, name: str) -> Version:
    """The version to show: the newest public one, else the newest that this viewer may see."""
    versions = _versions(viewer, owner, name)
    found = versions.filter(pk=F("environment__latest")).first() or versions.first()
    if found is None:
        raise Http404
    return found


def _versions(viewer: Viewer, owner: str, name: str) -> QuerySet[Version]:
    return (
        visible_versions(viewer)
        .filter(environment__owner__username=owner, environment__name=name)
        .order_by("-created", "-id")
    )


def history(viewer: Viewer, shown: Version) -> QuerySet[Version]:
    """The versions of the same environment that this viewer may see, newest first, measures
    at hand."""
    versions = visible_versions(viewer).filter(environment=shown.environment)
    return versions.select_related("headline").defer("readme", "lock").order_by("-created", "-id")


def siblings(viewer: Viewer, shown: Version) -> QuerySet[Version]:
    """What the same upload added, itself too, as far as this viewer may see it."""
    owner = shown.environment.owner.username
    return of_package(viewer, owner, shown.package, shown.number)


def evaluations(shown: Version) -> QuerySet[Evaluation]:
    """A version's evaluations, newest first."""
    return shown.evaluations.select_related("model", "profile").order_by("-created", "-id")


def measured(shown: Version, wanted: str = "") -> Evaluation | None:
    """The evaluation whose tasks and rollouts are shown.

    It is the one with the id `wanted` if that is given (Http404 if it is not of this version),
    else the last one that was completed, else the last one that has tasks.
    """
    found = evaluations(shown)
    if wanted:
        chosen = found.filter(pk=int(wanted)).first() if wanted.isdecimal() else None
        if chosen is None:
            raise Http404
        return chosen
    completed = found.filter(stage=Stage.DONE).order_by("-finished").first()
    has_tasks = Exists(Task.objects.filter(evaluation=OuterRef("pk")))
    return completed or found.filter(has_tasks).first()


def progress(shown: Version) -> Progress | None:
    """How far the evaluation under way is, or None if there is none."""
    evaluation = evaluations(shown).filter(stage__in=ACTIVE_STAGES).first()
    if evaluation is None:
        return None
    done = Rollout.objects.filter(task__evaluation=evaluation).count()
    return Progress(evaluation, done, waits_for(evaluation))


def waits_for(evaluation: Evaluation) -> str:
    """What an evaluation waits for, in words; empty while somebody works on it, or it is over."""
    if not evaluation.is_active or evaluation.jobs.filter(status=JobStatus.RUNNING).exists():
        return ""
    if evaluation.stage != Stage.QUEUED:
        return "the next step waits for a free worker"
    owner = evaluation.version.environment.owner
    running, allowed = scheduling.begun(owner), quotas.limits(owner).running_evaluations
    if allowed is None or running < allowed:
        return "waiting for a worker"
    before = scheduling.before(evaluation, owner)
    verb = "is" if running == 1 else "are"
    place = f"{before} more before it" if before else "it is next"
    return f"waiting for its turn: {running} of {owner}'s {verb} running, the most at once; {place}"


def tasks(
    evaluation: Evaluation,
    *,
    sort: str = "",
    p_min: float | None = None,
    p_max: float | None = None,
) -> QuerySet[Task]:
    """An evaluation's tasks, sorted, within a band of pass rates. Embeddings are not read."""
    band = Q()
    if p_min is not None:
        band &= Q(p__gte=p_min)
    if p_max is not None:
        band &= Q(p__lte=p_max)
    _, order = TASK_SORTS.get(sort, TASK_SORTS[""])
    return evaluation.tasks.defer("embedding").filter(band).order_by(order, "position")


def rollouts(
    evaluation: Evaluation,
    *,
    task: int | None = None,
    passed: bool | None = None,
    min_reward: float | None = None,
) -> QuerySet[Rollout]:
    """An evaluation's rollouts in order, with their tasks."""
    found = _rollouts(evaluation)
    if task is not None:
        found = found.filter(task__index=task)
    if passed is not None:
        found = found.filter(passed=passed)
    if min_reward is not None:
        found = found.filter(reward__gte=min_reward)
    return found.order_by("task__position", "number")


def _rollouts(evaluation: Evaluation) -> QuerySet[Rollout]:
    found = Rollout.objects.filter(task__evaluation=evaluation)
    return found.select_related("task").defer("task__embedding")


def rollout(evaluation: Evaluation, task: int, number: int) -> Rollout:
    """One rollout. Raises Http404."""
    found = _rollouts(evaluation).filter(task__index=task, number=number).first()
    if found is None:
        raise Http404
    return found


def neighbours(shown: Rollout, evaluation: Evaluation) -> tuple[Rollout | None, Rollout | None]:
    """The rollouts before and after this one, over all tasks in their order."""
    position, number = shown.task.position, shown.number
    before = Q(task__position__lt=position) | Q(task__position=position, number__lt=number)
    after = Q(task__position__gt=position) | Q(task__position=position, number__gt=number)
    found = _rollouts(evaluation)
    return (
        found.filter(before).order_by("-task__position", "-number").first(),
        found.filter(after).order_by("task__position", "number").first(),
    )


def examples(evaluation: Evaluation, count: int = 3) -> list[Rollout]:
    """A few rollouts that passed and a few that did not, each of another task."""
    found = rollouts(evaluation, passed=True).filter(number=0)[:count]
    others = rollouts(evaluation, passed=False).filter(number=0)[:count]
    return [*found, *others]
