"""Bundles: a version's files and its dependencies, unpacked side by side and ready to mount.

    project/   the archive's files
    site/      the locked wheels

A bundle is named by what went into it, so every worker can make it, and none changes it.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from django.conf import settings
from django.core.files.storage import default_storage
from packaging.specifiers import SpecifierSet

from environments import archives
from environments.models import Version
from graders.errors import EnvironmentFault, PlatformFault
from graders.pipeline import dependencies

BUNDLES = settings.PATHS.work / "bundles"
WHEELS = settings.PATHS.work / "uv"
UNFINISHED = ".new-"


def lock(version: Version, python: str) -> str:
    """The version's lock: the one that is kept, else a new one for Python `python` ("3.12")."""
    if version.requires_python and python not in SpecifierSet(version.requires_python):
        raise EnvironmentFault(
            f"It requires Python {version.requires_python}; this hub's sandbox has {python}. "
            "Widen requires-python if it also runs there."
        )
    if version.lock:
        return version.lock
    return dependencies.lock(
        version.dependencies,
        python=python,
        index_url=settings.PACKAGE_INDEX_URL,
        cache=WHEELS,
    )


def ensure(version: Version, locked: str, python: str) -> Path:
    """The version's bundle, made if it is not there."""
    digest = hashlib.sha256(f"{version.sha256}\n{python}\n{locked}".encode()).hexdigest()
    final = BUNDLES / digest
    if final.exists():
        return final
    BUNDLES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUNDLES, prefix=UNFINISHED) as scratch:
        made = Path(scratch) / "bundle"
        # Whoever runs inside the sandbox has to be able to read it.
        made.mkdir()
        made.chmod(0o755)
        _fill(made, version, locked, python)
        try:
            made.rename(final)
        except OSError:
            # Another worker was faster; what it made is the same.
            if not final.exists():
                raise
    return final


def unfinished() -> Iterator[Path]:
    """Bundles that are being made, or were when their worker died."""
    return BUNDLES.glob(f"{UNFINISHED}*")


def import_paths(version: Version) -> tuple[str, ...]:
    """The folders inside the bundle that go on the path, relative to it."""
    own = tuple(f"project/{path}".rstrip("/") for path in version.import_paths)
    return (*own, "site")


def _fill(folder: Path, version: Version, locked: str, python: str) -> None:
    try:
        with default_storage.open(version.storage_key) as file:
            archives.check(cast(BinaryIO, file), version.filename).extract(folder / "project")
    except FileNotFoundError as error:
        raise PlatformFault(f"The stored archive of {version} is missing.") from error
    except archives.BadArchive as error:
        raise EnvironmentFault(f"The archive is not accepted: {error}") from error
    dependencies.unpack(
        locked,
        folder / "site",
        python=python,
        index_url=settings.PACKAGE_INDEX_URL,
        cache=WHEELS,
    )
    (folder / "site").chmod(0o755)
    _describe(folder / "site", version)
    shutil.rmtree(folder / "site" / "bin", ignore_errors=True)


def _describe(site: Path, version: Version) -> None:
    """Let `importlib.metadata` find the project, as if it were installed."""
    name, number = version.environment.name, version.number
    info = site / f"{name.replace('-', '_')}-{number}.dist-info"
    if info.exists():
        return
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n")
