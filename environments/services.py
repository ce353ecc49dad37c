"""Writing the catalogue: submissions, and the two lives of a version."""

import logging
from dataclasses import dataclass
from typing import BinaryIO

from celery import current_app
from django.contrib.postgres.search import SearchVector
from django.core.files.base import File
from django.core.files.storage import default_storage
from django.db import connection, transaction
from django.db.models import Q, Value
from kombu.exceptions import OperationalError

from environments import archives, manifest, quotas
from environments.models import Environment, Headline, Version
from environments.queries import can_upload_to, locked_beside
from environments.states import Review, Status, review_sources, status_sources
from hub.accounts import services as accounts
from hub.accounts.models import User
from hub.audit import services as audit
from hub.errors import Problem, Refused

logger = logging.getLogger(__name__)

# The graders take a new version up when this message arrives, or when their sweeper finds it.
BEGIN = "graders.begin"


@dataclass(frozen=True)
class Submission:
    """What came of an upload.

    `versions` are those of all environments that the archive declares, in its order, and `version`
    the one that was asked for, else the first. `is_new` is False if all were there already.
    """

    version: Version
    versions: list[Version]
    is_new: bool


def submit(
    *,
    file: BinaryIO,
    filename: str,
    owner: User,
    name: str | None,
    actor: User,
    changelog: str = "",
) -> Submission:
    """Check an archive and add a version of each environment that it declares, all or none.

    `name` is that of the package or of one of its environments; None takes what comes. The same
    bytes again give the versions that are there. Raises Refused (403, 409, 413, 422, 429) with
    every problem found; then nothing was stored.
    """
    if not can_upload_to(actor, owner):
        raise Refused(f"You may not upload as {owner}", status=403)
    quotas.count_upload(actor)
    archive, described = check(file, filename)
    asked = _asked(described, name)
    shared = {"uploaded_by": actor, "changelog": changelog, "filename": filename[-255:]}
    with transaction.atomic():
        # From here on, uploads to one owner take turns: so none passes the quota beside another,
        # and what a second one of the same number finds is there to be compared with.
        quotas.reserve(owner, sha256=archive.sha256, size=archive.size)
        accounts.require_active(actor)
        there = _there(archive, described, owner)
        if is_new := any(one.name not in there for one in described):
            _store(archive.sha256, file)
        versions = [
            there.get(one.name) or _add_version(_fields(archive, one) | shared, one.name, owner)
            for one in described
        ]
    return Submission(versions[asked], versions, is_new)


def _asked(described: tuple[manifest.Manifest, ...], name: str | None) -> int:
    """The place of the environment that is meant. Raises Refused if it is of another archive."""
    package, names = described[0].package, [one.name for one in described]
    if name in names:
        return names.index(name)
    if name not in (None, package):
        listed = "" if names == [package] else f" with {', '.join(names[:10])}"
        raise Refused(
            "The name does not match",
            [Problem("project.name", f"The archive is of '{package}'{listed}, not of '{name}'.")],
        )
    return names.index(package) if package in names else 0


def check(file: BinaryIO, filename: str) -> tuple[archives.Archive, tuple[manifest.Manifest, ...]]:
    """The archive and what it says of its environments. Raises Refused with every problem found."""
    try:
        archive = archives.check(file, filename)
    except archives.BadArchive as error:
        problems = [Problem(fault.member, fault.message, fault.code) for fault in error.faults]
        too_large = any(fault.code == "too-large" for fault in error.faults)
        raise Refused("The archive is not accepted", problems, 413 if too_large else 422) from error
    try:
        return archive, manifest.read(archive)
    except manifest.BadManifest as error:
        problems = [Problem(problem.field, problem.message) for problem in error.problems]
        raise Refused("The project's metadata is not accepted", problems) from error


def _store(sha256: str, file: BinaryIO) -> None:
    """Put the bytes under their digest. Called in the transaction that makes them a version's."""
    _hold_bytes(sha256)
    key = Version(sha256=sha256).storage_key
    if default_storage.exists(key):
        return
    file.seek(0)
    try:
        default_storage.save(key, File(file))
    except OSError as error:
        raise Refused(
            "The archive could not be stored",
            [Problem("archive", "The hub's disk is full or failing. Nothing was kept; try later.")],
            507,
        ) from error


@transaction.atomic
def drop_bytes(*, sha256: str) -> bool:
    """Delete stored bytes unless they are a version's. Returns whether they were deleted."""
    _hold_bytes(sha256)
    if Version.objects.filter(sha256=sha256).exists():
        return False
    default_storage.delete(Version(sha256=sha256).storage_key)
    return True


def _hold_bytes(sha256: str) -> None:
    """Until the transaction ends nobody else stores these bytes, and nobody deletes them."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [int(sha256[:15], 16)])


def _there(
    archive: archives.Archive, described: tuple[manifest.Manifest, ...], owner: User
) -> dict[str, Version]:
    """The versions of these very bytes that there are already, by the environment's name.

    Raises Refused (409) if the number of the package, or of an environment, is one of other bytes.
    """
    names = [one.name for one in described]
    taken = Version.objects.filter(
        Q(package=described[0].package) | Q(environment__name__in=names),
        environment__owner=owner,
        number=described[0].version,
    ).select_related("environment__owner")
    if others := [version for version in taken if version.sha256 != archive.sha256]:
        problems = [
            Problem("project.version", f"{version} cannot change. Raise the version number.")
            for version in others
        ]
        raise Refused("This version exists with other content", problems, 409)
    return {version.environment.name: version for version in taken}


def _add_version(fields: dict[str, object], name: str, owner: User) -> Version:
    environment, _ = Environment.objects.select_for_update().get_or_create(owner=owner, name=name)
    version = Version.objects.create(environment=environment, **fields)
    _refresh(environment)
    audit.record(
        actor=version.uploaded_by,
        action="version.uploaded",
        target=version,
        data={"sha256": version.sha256},
    )
    transaction.on_commit(lambda: wake(version))
    return version


def _fields(archive: archives.Archive, described: manifest.Manifest) -> dict[str, object]:
    low, high = described.reward_range
    return {
        "number": described.version,
        "package": described.package,
        "kind": archive.kind,
        "sha256": archive.sha256,
        "size": archive.size,
        "summary": described.summary,
        "readme": described.readme,
        "readme_type": described.readme_type,
        "license": described.license,
        "requires_python": described.requires_python,
        "dependencies": list(described.dependencies),
        "entry": described.entry,
        "args": described.args,
        "import_paths": list(described.import_paths),
        "format": described.format or "",
        "pass_threshold": described.pass_threshold,
        "reward_low": low,
        "reward_high": high,
        "max_turns": described.max_turns,
        "min_memory_mb": described.min_memory_mb,
        "data": list(described.data),
        "prepare": described.prepare or "",
        "tags": list(described.tags),
        "domains": list(described.domains),
        "strategies": list(described.strategies),
    }


def wake(version: Version) -> None:
    """Tell a worker about a version. A lost message does no harm: the row is the truth."""
    try:
        current_app.send_task(BEGIN, [version.pk], queue="build", retry=False)
    except OperationalError:
        logger.warning("The broker does not answer; the sweeper will find %s later.", version)


def advance(*, version: Version, status: Status, fault: str = "") -> bool:
    """Compare-and-set the status. Returns whether it changed."""
    changed = Version.objects.filter(pk=version.pk, status__in=status_sources(status)).update(
        status=status, fault=fault
    )
    version.refresh_from_db(fields=["status", "fault"])
    return bool(changed)


@transaction.atomic
def decide(*, version: Version, review: Review, actor: User | None, reason: str = "") -> None:
    """Approve, reject or quarantine a version. Raises Refused if that cannot be."""
    refusal = review in (Review.REJECTED, Review.QUARANTINED)
    if refusal and not reason.strip():
        raise Refused("A reason is needed", [Problem("reason", "Say why, for the owner to read.")])
    changed = Version.objects.filter(pk=version.pk, review__in=review_sources(review)).update(
        review=review, review_reason=reason.strip() if refusal else ""
    )
    version.refresh_from_db()
    if not changed:
        raise Refused(f"{version} is already {version.review}", status=409)
    _refresh(version.environment)
    audit.record(
        actor=actor, action=f"version.{review.value}", target=version, data={"reason": reason}
    )


@transaction.atomic
def publish(*, version: Version, **measures: object) -> Headline:
    """Set what the catalogue sorts and filters this version by."""
    headline, _ = Headline.objects.update_or_create(version=version, defaults=measures)
    return headline


@transaction.atomic
def keep_build(*, version: Version, lock: str, python: str) -> str:
    """Keep the locked dependencies and data, so that a rebuild gives the same bundle.

    Returns the lock that was kept: if a sibling's was first, that one.
    """
    _hold_bytes(version.sha256)
    row = Version.objects.filter(pk=version.pk)
    if not row.filter(lock=lock, python=python).exists():
        lock = locked_beside(version, python) or lock
    row.update(lock=lock, python=python)
    return lock


def keep_format(*, version: Version, name: str) -> None:
    """Keep the format that the environment turned out to have."""
    Version.objects.filter(pk=version.pk).update(format=name)


def _refresh(environment: Environment) -> None:
    """Point `latest` at the newest approved version and index what search looks in."""
    approved = environment.versions.filter(review=Review.APPROVED)
    environment.latest = approved.order_by("-created", "-id").first()
    environment.save(update_fields=["latest"])
    shown = environment.latest or environment.versions.order_by("-created", "-id").first()
    if shown is None:
        return
    words = " ".join([*shown.tags, *shown.domains, *shown.strategies])
    package = shown.package.replace("-", " ")
    Environment.objects.filter(pk=environment.pk).update(
        search=_vector(environment.name.replace("-", " "), "A")
        + _vector(f"{environment.owner} {package} {shown.summary} {words}", "B")
        + _vector(shown.readme[:50_000], "C")
    )


def _vector(text: str, weight: str) -> SearchVector:
    return SearchVector(Value(text), weight=weight, config="english")
