"""An environment's pages: a version, what was measured of it, and how a measurement goes."""

import re
from typing import Any, Final

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe
from django.views.decorators.vary import vary_on_headers

from environments import readme
from environments.models import Version
from environments.queries import Viewer
from environments.states import Status
from graders import operations, queries, services, transcripts
from graders.forms import RolloutsForm, TasksForm
from graders.models import Evaluation, Rollout, Task
from graders.transcripts import Place
from hub.errors import Refused

PAGE: Final = 50
SAMPLE: Final = 5
BESIDE: Final = 12
PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")


@require_safe
def environment(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """An environment at the version that is current for this viewer."""
    return _overview(request, queries.latest(request.user, owner, name))


@require_safe
def version(request: HttpRequest, owner: str, name: str, number: str) -> HttpResponse:
    """An environment at one version."""
    return _overview(request, queries.version(request.user, owner, name, number))


def _overview(request: HttpRequest, shown: Version) -> HttpResponse:
    measured = queries.measured(shown)
    context = _frame(request, shown, measured) | {
        "tab": "readme",
        "readme": readme.render(shown.readme, shown.readme_type),
        "tasks": queries.tasks(measured).filter(n__gt=0)[:SAMPLE] if measured else [],
        "rollouts": queries.examples(measured) if measured else [],
        "versions": queries.history(request.user, shown)[:SAMPLE],
        "beside": queries.siblings(request.user, shown).exclude(pk=shown.pk)[:BESIDE],
        "evaluations": queries.evaluations(shown)[:SAMPLE],
        "saved_as": _saved_as(shown),
        "archive": request.build_absolute_uri(
            reverse(
                "api-archive",
                args=[shown.environment.owner.username, shown.environment.name, shown.number],
            )
        ),
    }
    return render(request, "graders/version.html", context)


def _frame(request: HttpRequest, shown: Version, measured: Evaluation | None) -> dict[str, Any]:
    """What the head of every page of a version needs."""
    return {
        "version": shown,
        "environment": shown.environment,
        "measured": measured,
        "report": (measured.report if measured else None) or {},
        "progress": queries.progress(shown),
        "is_inside": _is_inside(request.user, shown),
        "siblings": queries.siblings(request.user, shown).count(),
    }


def _saved_as(shown: Version) -> str:
    """A file name for a command that people paste: the uploader chose the original one."""
    if PLAIN_NAME.fullmatch(shown.filename):
        return shown.filename
    kind = {"wheel": "whl"}.get(shown.kind, shown.kind)
    return f"{shown.environment.name}-{shown.number.replace('!', '_')}.{kind}"


def _is_inside(viewer: Viewer, shown: Version) -> bool:
    """Whether this person may read logs and ask for another evaluation: the owner, moderators."""
    return viewer.is_authenticated and (viewer == shown.environment.owner or viewer.is_moderator)


def _one(
    request: HttpRequest, owner: str, name: str, number: str
) -> tuple[Version, Evaluation | None]:
    """A version, and the evaluation that the address asks for."""
    shown = queries.version(request.user, owner, name, number)
    return shown, queries.measured(shown, request.GET.get("evaluation", ""))


def _pages(request: HttpRequest) -> str:
    """This address's parameters without the page, to put a page behind."""
    query = request.GET.copy()
    query.pop("page", None)
    return f"?{query.urlencode()}&" if query else "?"


@require_safe
def tasks(request: HttpRequest, owner: str, name: str, number: str) -> HttpResponse:
    """The tasks of a version, sorted, within a band of pass rates."""
    shown, measured = _one(request, owner, name, number)
    form = TasksForm(request.GET)
    found = queries.tasks(measured, **form.valid()) if measured else Task.objects.none()
    context = _frame(request, shown, measured) | {
        "tab": "tasks",
        "form": form,
        "page": Paginator(found, PAGE).get_page(request.GET.get("page")),
        "base": _pages(request),
    }
    return render(request, "graders/tasks.html", context)


@require_safe
def rollouts(request: HttpRequest, owner: str, name: str, number: str) -> HttpResponse:
    """The rollouts of a version, by task, outcome and reward."""
    shown, measured = _one(request, owner, name, number)
    form = RolloutsForm(request.GET)
    found = queries.rollouts(measured, **form.valid()) if measured else Rollout.objects.none()
    context = _frame(request, shown, measured) | {
        "tab": "rollouts",
        "form": form,
        "page": Paginator(found, PAGE).get_page(request.GET.get("page")),
        "base": _pages(request),
    }
    return render(request, "graders/rollouts.html", context)


@require_safe
def rollout(
    request: HttpRequest, owner: str, name: str, number: str, task: int, rollout: int
) -> HttpResponse:
    """One rollout, read turn by turn."""
    shown, measured = _one(request, owner, name, number)
    if measured is None:
        raise Http404
    one = queries.rollout(measured, task, rollout)
    before, after = queries.neighbours(one, measured)
    place = Place(one.transcript_key, one.transcript_offset, one.transcript_length)
    try:
        turns = transcripts.read(place)
    except FileNotFoundError:
        turns = None
    context = _frame(request, shown, measured) | {
        "tab": "rollouts",
        "rollout": one,
        "turns": turns,
        "before": before,
        "after": after,
    }
    return render(request, "graders/rollout.html", context)


@require_safe
def versions(request: HttpRequest, owner: str, name: str, number: str) -> HttpResponse:
    """All versions of the environment that this viewer may see."""
    shown = queries.version(request.user, owner, name, number)
    found = queries.history(request.user, shown)
    context = _frame(request, shown, queries.measured(shown)) | {
        "tab": "versions",
        "page": Paginator(found, PAGE).get_page(request.GET.get("page")),
        "base": _pages(request),
    }
    return render(request, "graders/versions.html", context)


@require_safe
def progress(request: HttpRequest, owner: str, name: str, number: str) -> HttpResponse:
    """How far the evaluation is, for the page that asks again and again until there is none."""
    shown = queries.version(request.user, owner, name, number)
    if not request.htmx:  # type: ignore[attr-defined]
        return redirect(shown)
    found = queries.progress(shown)
    if found is None:
        return HttpResponse(headers={"HX-Refresh": "true"})
    context = {"version": shown, "environment": shown.environment, "progress": found}
    return render(request, "graders/progress.html", context)


@require_POST
@login_required
def retry(request: HttpRequest, owner: str, name: str, number: str) -> HttpResponse:
    """Evaluate a version again."""
    shown = queries.version(request.user, owner, name, number)
    if not _is_inside(request.user, shown):
        raise PermissionDenied("Only its owner and moderators may ask for another evaluation.")
    if shown.status != Status.FAILED:
        messages.info(request, "Nothing failed here, so there is nothing to evaluate again.")
        return redirect(shown)
    try:
        services.retry(version=shown, actor=request.user)  # type: ignore[arg-type]
    except Refused as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, "It is being evaluated again.")
    return redirect(shown)


@require_safe
@vary_on_headers("HX-Request")
def evaluation(
    request: HttpRequest, owner: str, name: str, number: str, evaluation: int
) -> HttpResponse:
    """One evaluation: what was used, how its jobs go, what it found. Scripts ask for the jobs."""
    shown = queries.version(request.user, owner, name, number)
    found = get_object_or_404(queries.evaluations(shown), pk=evaluation)
    context = _frame(request, shown, found) | {
        "tab": "",
        "evaluation": found,
        "jobs": found.jobs.all(),
    }
    is_part = request.htmx and not request.htmx.history_restore_request  # type: ignore[attr-defined]
    page = "graders/evaluation.html"
    return render(request, f"{page}#jobs" if is_part else page, context)


@require_POST
@login_required
def cancel(
    request: HttpRequest, owner: str, name: str, number: str, evaluation: int
) -> HttpResponse:
    """Stop an evaluation."""
    shown = queries.version(request.user, owner, name, number)
    found = get_object_or_404(queries.evaluations(shown), pk=evaluation)
    if not _is_inside(request.user, shown):
        raise PermissionDenied("Only its owner and moderators may cancel an evaluation.")
    try:
        operations.cancel(evaluation=found, actor=request.user)  # type: ignore[arg-type]
    except Refused as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, "It is cancelled. What it did so far stays here.")
    return redirect(found)
