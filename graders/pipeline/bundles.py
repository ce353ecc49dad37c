"""Bundles: a version's files and its dependencies, unpacked side by side and ready to mount.

    project/         the archive's files
    site-packages/   the locked wheels
    data/            what the version declared, and what its `prepare` left

Beside the sources that its environments import lies their bytecode, which a sandbox compiled. A
bundle is named by what goes into it, so every worker can make it, and none changes it.
"""

import functools
import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from copy import copy
from pathlib import Path
from typing import BinaryIO, cast

from django.conf import settings
from django.core.files.storage import default_storage

from environments import archives
from environments.manifest import pins
from environments.models import Version
from environments.queries import of_the_same_bytes
from graders.bundling import lock as locks
from graders.bundling import resolving
from graders.bundling.compiling import Imports, add_bytecode
from graders.bundling.index import Index, default_url
from graders.bundling.limits import MIB, BuildLimits
from graders.bundling.lock import BadLock, Locked
from graders.bundling.stock import Stock
from graders.bundling.store import Store
from graders.bundling.wheels import open_folders
from graders.errors import EnvironmentFault, PlatformFault
from graders.pipeline import data
from graders.sandbox import Sandbox
from graders.sandbox.interpreters import minor

# By this name serialisers (dill, cloudpickle) know a library, which they refer to, from a program,
# which they take along whole.
SITE = "site-packages"


def lock(version: Version, sandbox: Sandbox, *, job: str, check: Callable[[], None]) -> str:
    """A lock of the version's dependencies and data, for the sandbox's Python.

    Dependencies are resolved inside a sandbox; data that is known is not fetched or prepared again.
    What `check` raises ends it at once. Raises EnvironmentFault or PlatformFault besides.
    """
    python = minor(sandbox.python)
    wheels = _resolved(version, sandbox, job, check)
    if found := data.known(version):
        return locks.write(wheels, python, found)
    found = data.declared(version, store(), check)
    if version.prepare:
        so_far = copy(version)
        so_far.lock = locks.write(wheels, python, found)
        with held(so_far, None, check) as bundle:
            terms = data.Terms(sandbox, bundle, import_paths(version), f"{job}-data")
            found += data.prepared(version, store(), terms, found, check)
    return locks.write(wheels, python, found)


def _resolved(
    version: Version, sandbox: Sandbox, job: str, check: Callable[[], None]
) -> list[Locked]:
    """The wheels of what the version and its format need, as of its upload."""
    requirements = [*version.dependencies, *pins(version.format)]
    if not requirements:
        return []
    with _stock() as stock:
        return resolving.resolve(
            requirements,
            sandbox=sandbox,
            stock=stock,
            as_of=version.created,
            job=job,
            check=check,
        )


@contextmanager
def held(
    version: Version, sandbox: Sandbox | None, check: Callable[[], None] = lambda: None
) -> Iterator[Path]:
    """The bundle of a version that was built, made if it is not there; kept while this lasts.

    `sandbox` compiles for its Python, the one that the version was built for; None: what imports
    only once needs no bytecode. What `check` raises ends the making. Raises EnvironmentFault or
    PlatformFault besides.
    """
    wanted = _imports(version) if sandbox else Imports((), ())
    name = "\n".join([SITE, *wanted.paths, *wanted.modules, version.sha256, version.lock])
    digest = hashlib.sha256(name.encode()).hexdigest()

    def fill(folder: Path) -> None:
        beside = _fill(folder, version, check)
        if sandbox:
            job = f"bytecode-{digest[:12]}"
            add_bytecode(folder, wanted, sandbox, _limits(), job=job, check=check, beside=beside)

    with store().bundle(digest, fill) as bundle:
        yield bundle


def _imports(version: Version) -> Imports:
    """What the environments of a version's archive import: with one lock, they share a bundle."""
    together = [version, *of_the_same_bytes(version)]
    modules = {one.entry.partition(":")[0] for one in together}
    folders = {path for one in together for path in import_paths(one)}
    return Imports(tuple(sorted(modules)), tuple(sorted(folders)))


def keep(version: Version, check: Callable[[], None] = lambda: None) -> None:
    """Keep the data of a version that was built for good. Raises PlatformFault."""
    data.depot(store()).keep(locks.read_data(version.lock), check)


def import_paths(version: Version) -> tuple[str, ...]:
    """The folders inside the bundle that go on the path, relative to it."""
    own = tuple(f"project/{path}".rstrip("/") for path in version.import_paths)
    return (*own, SITE)


def store() -> Store:
    """This host's store."""
    return Store(settings.PATHS.work / "store", settings.STORE_MB * MIB)


@contextmanager
def _stock() -> Iterator[Stock]:
    limits = _limits()
    with closing(Index(settings.PACKAGE_INDEX_URL or _default_index(), limits)) as index:
        try:
            yield Stock(store(), index, data.Shelf("wheels"), limits)
        finally:
            store().trim()  # a build that fails has downloaded too


def _limits() -> BuildLimits:
    return BuildLimits(**settings.BUILD_LIMITS)


@functools.cache
def _default_index() -> str:
    return default_url()


def _fill(folder: Path, version: Version, check: Callable[[], None]) -> tuple[int, int]:
    """Lay out a bundle; the files and bytes that count against its limits."""
    folder.mkdir()
    try:
        with default_storage.open(version.storage_key) as file:
            archives.check(cast(BinaryIO, file), version.filename).extract(folder / "project")
    except FileNotFoundError as error:
        raise PlatformFault(f"The stored archive of {version} is missing.") from error
    except archives.BadArchive as error:
        raise EnvironmentFault(f"The archive is not accepted: {error}") from error
    try:
        locked, files = locks.read(version.lock), locks.read_data(version.lock)
    except BadLock as error:
        raise PlatformFault(f"The lock of {version} cannot be read: {error}.") from error
    data.depot(store()).link(files, folder / "data", check)
    (folder / SITE).mkdir()
    taken = (len(files), sum(file.size for file in files))
    if locked:  # else no index is needed
        with _stock() as stock:
            taken = stock.install(locked, folder / SITE, check, beside=taken)
    _describe(folder / SITE, version)
    open_folders(folder)
    return taken


def _describe(site: Path, version: Version) -> None:
    """Let `importlib.metadata` find the project, as if it were installed."""
    name, number = version.package, version.number
    info = site / f"{name.replace('-', '_')}-{number}.dist-info"
    if info.exists():
        return
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n")
    (info / "METADATA").chmod(0o644)
