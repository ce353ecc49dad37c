"""The catalogue's pages: browse, contribute, a person's environments."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse, QueryDict, UnreadablePostError
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_http_methods, require_safe
from django.views.decorators.vary import vary_on_headers

from environments import browsing, services
from environments.archives import LIMITS
from environments.browsing import FACETS, SORTS, Wish
from environments.forms import BrowseForm, UploadForm
from environments.manifest.formats import TABLE
from environments.models import Version
from environments.queries import of_package, published, visible_versions
from environments.services import Submission
from environments.states import Review, Status
from environments.uploads import arriving
from hub.accounts.models import User
from hub.errors import Problem, Refused

PAGE: Final = 30
FORM_BYTES: Final = 64 * 1024  # of a request around the archive itself
MIB_LIMIT: Final = LIMITS.compressed_bytes // 2**20
FACET_VALUES: Final = 12
HEADINGS: Final = {
    "domain": "Domain",
    "strategy": "Strategy",
    "format": "Format",
    "license": "Licence",
    "tag": "Tag",
}
BANDS: Final = [
    ("trains now: signal at least 0.3", {"signal_min": "0.3"}),
    ("hard: pass@1 up to 0.2", {"p_max": "0.2"}),
    ("middle: pass@1 0.2 to 0.8", {"p_min": "0.2", "p_max": "0.8"}),
    ("easy: pass@1 from 0.8", {"p_min": "0.8"}),
]
BAND_KEYS: Final = ("p_min", "p_max", "signal_min")


@dataclass(frozen=True)
class Choice:
    """One value of a facet: a link that sets it, or takes it away if it is set."""

    label: str
    address: str
    is_chosen: bool
    count: int | None = None


@require_safe
@vary_on_headers("HX-Request")
def browse(request: HttpRequest) -> HttpResponse:
    """Search, facets, sorted rows. The address is the whole state."""
    form = BrowseForm(request.GET)
    wish = _wish(request.GET, form.valid())
    page = Paginator(browsing.in_order(wish), PAGE).get_page(request.GET.get("page"))
    context = {
        "form": form,
        "wish": wish,
        "page": page,
        "facets": [(HEADINGS[facet], _facet(request.GET, wish, facet)) for facet in HEADINGS],
        "bands": [_band(request.GET, label, band) for label, band in BANDS],
        "sorts": _sorts(request.GET, wish),
        "chosen": [(name, value) for name, values in wish.chosen.items() for value in values],
        "is_narrowed": bool(wish.q or any(wish.chosen.values()) or _is_banded(wish)),
        "earlier": _address(request.GET, page=str(page.number - 1)) if page.number > 1 else "",
        "later": _address(request.GET, page=str(page.number + 1)) if page.has_next() else "",
    }
    is_part = request.htmx and not request.htmx.history_restore_request  # type: ignore[attr-defined]
    name = "environments/browse.html"
    return render(request, f"{name}#rows" if is_part else name, context)


def _wish(query: QueryDict, valid: dict[str, Any]) -> Wish:
    # No row has a NUL, and the database does not take one even to compare with.
    chosen = {
        facet: tuple(value for value in query.getlist(facet) if value and "\x00" not in value)[:8]
        for facet in FACETS
    }
    return Wish(chosen=chosen, **valid)


def _is_banded(wish: Wish) -> bool:
    return any(getattr(wish, key) is not None for key in BAND_KEYS)


def _address(query: QueryDict, **changes: str | None) -> str:
    """This page with some parameters set, or taken away (None); back on its first page."""
    changed = query.copy()
    for key, value in {"page": None, **changes}.items():
        if value is None:
            changed.pop(key, None)
        else:
            changed[key] = value
    return f"?{changed.urlencode()}"


def _facet(query: QueryDict, wish: Wish, facet: str) -> list[Choice]:
    counts = dict(browsing.counted(wish, facet)[:FACET_VALUES])
    chosen = wish.chosen[facet]
    values = [*(value for value in chosen if value not in counts), *counts]
    return [
        Choice(value, _toggled(query, facet, value), value in chosen, counts.get(value, 0))
        for value in values
    ]


def _toggled(query: QueryDict, facet: str, value: str) -> str:
    changed = query.copy()
    changed.pop("page", None)
    values = changed.getlist(facet)
    changed.setlist(
        facet, [v for v in values if v != value] if value in values else [*values, value]
    )
    return f"?{changed.urlencode()}"


def _band(query: QueryDict, label: str, band: dict[str, str]) -> Choice:
    is_chosen = all((query.get(key) or None) == band.get(key) for key in BAND_KEYS)
    wanted = {key: None if is_chosen else band.get(key) for key in BAND_KEYS}
    return Choice(label, _address(query, **wanted), is_chosen)


def _sorts(query: QueryDict, wish: Wish) -> list[Choice]:
    return [
        Choice(label, _address(query, sort=key), key == wish.order)
        for key, (label, _) in SORTS.items()
        if wish.q or key != "relevance"
    ]


@csrf_exempt  # checked in `_upload`: only after the length is known is the body read
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def upload(request: HttpRequest) -> HttpResponse:
    """Add a version of the environment that the archive's manifest names."""
    if _length(request) > LIMITS.compressed_bytes + FORM_BYTES:
        limit = f"Archives may have {MIB_LIMIT} MiB. Remove data files, or fetch them elsewhere."
        refused = Refused("The archive is too large", [Problem("archive", limit)], 413)
        # The body stays unread, and with it the form's token.
        return _upload_page(request, UploadForm(), refused)
    try:
        # Of a client that went away nothing is read, nor is its token.
        with suppress(UnreadablePostError), arriving(request):
            request.POST  # noqa: B018 - reads the body
    except Refused as error:
        return _upload_page(request, UploadForm(), error)
    return _upload(request)


def _length(request: HttpRequest) -> int:
    text = request.headers.get("Content-Length", "")
    return int(text) if text.isdecimal() else 0


@csrf_protect
def _upload(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return _upload_page(request, UploadForm())
    form = UploadForm(request.POST, request.FILES)
    if not form.is_valid():
        return _upload_page(request, form, _invalid(form))
    try:
        made = _submit(request, form)
    except Refused as error:
        return _upload_page(request, form, error)
    version = made.version
    is_one = len(made.versions) == 1
    place = version.get_absolute_url() if is_one else version.get_package_url()
    if request.headers.get("X-Requested-With") == "XMLHttpRequest":
        # A script goes there itself; a redirect it would follow unseen, messages and all.
        return HttpResponse(status=201, headers={"Location": place})
    return redirect(place)


def _upload_page(
    request: HttpRequest, form: UploadForm, refused: Refused | None = None
) -> HttpResponse:
    context = {
        "form": form,
        "refused": refused,
        "limit": LIMITS.compressed_bytes,
        "limit_mib": MIB_LIMIT,
        "libraries": sorted({one.package for one in TABLE if one.package}),
    }
    status = refused.status if refused else 200
    answer = render(request, "environments/upload.html", context, status=status)
    if refused and refused.retry_after is not None:
        answer["Retry-After"] = str(refused.retry_after)
    return answer


def _submit(request: HttpRequest, form: UploadForm) -> Submission:
    archive = form.cleaned_data["archive"]
    actor = request.user
    made = services.submit(
        file=archive.file,
        filename=archive.name,
        owner=actor,  # type: ignore[arg-type]
        name=None,
        actor=actor,  # type: ignore[arg-type]
        changelog=form.cleaned_data["changelog"],
    )
    if not made.is_new:
        messages.info(request, "These bytes were here already; nothing was added.")
    return made


def _invalid(form: UploadForm) -> Refused:
    problems = [
        Problem(name, str(message)) for name, found in form.errors.items() for message in found
    ]
    return Refused("The form is not complete", problems)


@require_safe
def owner(request: HttpRequest, owner: str) -> HttpResponse:
    """A person's environments; for themselves and moderators also what is not public yet."""
    person = get_object_or_404(User, username=owner, is_active=True)
    viewer = request.user
    is_inside = viewer == person or (viewer.is_authenticated and viewer.is_moderator)
    context = {
        "person": person,
        "is_self": viewer == person,
        "is_inside": is_inside,
        "environments": published().filter(owner=person).order_by("name"),
        "waiting": _waiting(request, person) if is_inside else [],
    }
    return render(request, "environments/owner.html", context)


@require_safe
def package(request: HttpRequest, owner: str, package: str, number: str) -> HttpResponse:
    """The environments that one upload added, as many as this viewer may see."""
    versions = list(of_package(request.user, owner, package, number))
    if not versions:
        raise Http404
    context = {"versions": versions, "first": versions[0]}
    return render(request, "environments/package.html", context)


def _waiting(request: HttpRequest, person: User) -> list[Version]:
    """Versions that are not public, or whose last evaluation failed, newest first."""
    return list(
        visible_versions(request.user)
        .filter(environment__owner=person)
        .filter(~Q(review=Review.APPROVED) | Q(status=Status.FAILED))
        .order_by("-created")[:50]
    )
