"""The data of a version: what it declares, what its `prepare` leaves, where both are kept."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from django.conf import settings
from django.core.files.base import File
from django.core.files.storage import default_storage

from environments import quotas
from environments.models import Version
from environments.queries import locked_with_its_data
from graders.bundling.depot import Depot
from graders.bundling.hosts import Hosts
from graders.bundling.limits import BuildLimits
from graders.bundling.lock import DATA, BadLock, DataFile, read_data
from graders.bundling.origin import Origin
from graders.bundling.preparing import PrepareSession, Step
from graders.bundling.store import Store
from graders.errors import PlatformFault
from graders.sandbox import Sandbox


class Shelf:
    """A folder of the hub's storage, beside the archives: a lock may name its files for ever."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def put(self, sha256: str, content: BinaryIO) -> None:
        if not default_storage.exists(self._key(sha256)):
            default_storage.save(self._key(sha256), File(content))

    def get(self, sha256: str) -> Iterator[bytes]:
        return _chunks(default_storage.open(self._key(sha256)))

    def _key(self, sha256: str) -> str:
        return f"{self._folder}/{sha256[:2]}/{sha256}"


def _chunks(file: File) -> Iterator[bytes]:
    with file:
        yield from file.chunks()


@dataclass(frozen=True)
class Terms:
    """Where `prepare` runs: in this sandbox, with a bundle whose `paths` are imported from."""

    sandbox: Sandbox
    bundle: Path
    paths: tuple[str, ...]
    job: str


def depot(store: Store, left: int | None = None) -> Depot:
    """A host's store, and the hub's storage; `left` of which are bytes for a version's owner."""
    return Depot(store, Shelf("data"), BuildLimits(**settings.BUILD_LIMITS), left)


def known(version: Version) -> list[DataFile]:
    """The data that was locked already: of the version, for whatever Python, or of another
    environment of the same upload. Empty if there is none."""
    if found := _read(version.lock):
        return found
    other = locked_with_its_data(version).first()
    return _read(other.lock) if other else []


def declared(version: Version, store: Store, check: Callable[[], None]) -> list[DataFile]:
    """The files that the version declares, fetched. Raises EnvironmentFault or PlatformFault."""
    if not version.data:
        return []
    try:
        return depot(store, _left(version)).fetch(version.data, _origin(), check)
    finally:
        store.trim()


def prepared(
    version: Version,
    store: Store,
    terms: Terms,
    beside: Sequence[DataFile],
    check: Callable[[], None],
) -> list[DataFile]:
    """What the version's `prepare` leaves, `beside` what it has already.

    Raises EnvironmentFault or PlatformFault.
    """
    # What is called to make the environment is called as it would be there.
    args = version.args if version.prepare == version.entry else {}
    step = Step(version.prepare, args, terms.paths, settings.DATA_HUB)
    held = depot(store, _left(version))
    with PrepareSession(terms.sandbox, terms.bundle, _origin(), held, terms.job, check) as session:
        return session.prepare(step, beside)


def _left(version: Version) -> int | None:
    """Bytes that are left of the owner's storage, the data of their versions counted once."""
    owner = version.environment.owner
    left = quotas.left(owner)
    if left is None:
        return None
    theirs = Version.objects.filter(environment__owner=owner, lock__contains=DATA)
    files = (file for text in theirs.values_list("lock", flat=True) for file in _read(text))
    return left - sum({file.sha256: file.size for file in files}.values())


def _read(lock: str) -> list[DataFile]:
    """The data of a lock; none of one that is damaged."""
    try:
        return read_data(lock)
    except BadLock:
        return []


def _origin() -> Origin:
    try:
        hosts = Hosts(settings.DATA_HOSTS)
    except ValueError as error:
        raise PlatformFault(f"The setting DATA_HOSTS is wrong: {error}.") from error
    return Origin(hosts, BuildLimits(**settings.BUILD_LIMITS))
