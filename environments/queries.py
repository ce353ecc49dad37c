"""Reading the catalogue. What a person may see is decided here and nowhere else."""

import re

from django.contrib.auth.models import AnonymousUser
from django.contrib.postgres.search import SearchQuery, SearchRank
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Greatest

from environments.manifest import FORMATS, pins
from environments.models import Environment, Version
from environments.states import Review
from hub.accounts.models import User

Viewer = User | AnonymousUser


def visible_versions(viewer: Viewer) -> QuerySet[Version]:
    """The versions this person may see: approved ones, their own, and for moderators all."""
    versions = Version.objects.select_related("environment__owner", "uploaded_by")
    if viewer.is_authenticated and viewer.is_moderator:
        return versions
    allowed = Q(review=Review.APPROVED)
    if viewer.is_authenticated:
        allowed |= Q(environment__owner=viewer)
    return versions.filter(allowed)


def visible_environments(viewer: Viewer) -> QuerySet[Environment]:
    """The environments with at least one version that this person may see."""
    versions = visible_versions(viewer).filter(environment=OuterRef("pk"))
    return Environment.objects.select_related("owner").filter(Exists(versions))


def of_package(viewer: Viewer, owner: str, package: str, number: str) -> QuerySet[Version]:
    """What one upload added: the versions, one an environment, that this person may see of it, by
    name."""
    versions = visible_versions(viewer).filter(
        environment__owner__username=owner, package=package, number=number
    )
    return versions.select_related("headline").defer("readme", "lock").order_by("environment__name")


def locked_beside(version: Version, python: str) -> str:
    """The lock of an environment that came with the same upload and needs the same, or ""."""
    alike = [name for name in ("", *FORMATS) if pins(name) == pins(version.format)]
    siblings = locked_with_its_data(version).filter(
        dependencies=version.dependencies, format__in=alike, python=python
    )
    return siblings.values_list("lock", flat=True).first() or ""


def locked_with_its_data(version: Version) -> QuerySet[Version]:
    """Environments that came with the same upload, were locked, and have the same data.

    Where `prepare` is what makes an environment, it is called with the environment's args.
    """
    siblings = Version.objects.filter(
        environment__owner=version.environment.owner_id,
        sha256=version.sha256,
        prepare=version.prepare,
    )
    if version.prepare and version.prepare == version.entry:
        siblings = siblings.filter(entry=version.prepare, args=version.args)
    elif version.prepare:
        siblings = siblings.exclude(entry=version.prepare)
    return siblings.exclude(pk=version.pk).exclude(lock="").order_by("pk")


def of_the_same_bytes(version: Version) -> QuerySet[Version]:
    """The environments of an archive, whoever uploaded it, but for this one."""
    return Version.objects.filter(sha256=version.sha256).exclude(pk=version.pk)


def can_upload_to(user: User, owner: User) -> bool:
    """Whether this person may add environments and versions under that owner's name."""
    return user.is_active and (user == owner or user.is_superuser)


def published() -> QuerySet[Environment]:
    """Environments with an approved version, with that version and its measures at hand."""
    return Environment.objects.filter(latest__isnull=False).select_related(
        "owner", "latest", "latest__headline"
    )


def search(environments: QuerySet[Environment], text: str) -> QuerySet[Environment]:
    """Those that match `text` as a web search would, or whose name is spelt like it, best first."""
    # Words, quotes, and a minus before one of them: of other signs, which mean nothing to a web
    # search, a long row is more than the parser takes.
    words = re.sub(r"[^\w\s\"-]+|-(?![\w\"])", " ", text)
    query = SearchQuery(words, search_type="websearch", config="english")
    return (
        environments.annotate(rank=SearchRank(F("search"), query))
        .filter(
            Q(search=query)
            | Q(name__trigram_similar=text)
            | Q(name__icontains=text)
            | Q(owner__username__iexact=text)
        )
        .annotate(best=Greatest(F("rank"), 0.0))
    )
