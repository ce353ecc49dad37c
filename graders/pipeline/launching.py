"""What every step that runs contributed code needs: sandbox, bundle, the session's terms."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from packaging.specifiers import SpecifierSet

from environments.models import Version
from graders.errors import EnvironmentFault, PlatformFault
from graders.models import Evaluation
from graders.pipeline import bundles
from graders.sandbox import Offer, Sandbox, SandboxUnavailable, offer
from graders.sandbox.base import Limits
from graders.session import Launch

MEMORY_MB = 512
MOUNTED = "/env"


@dataclass(frozen=True)
class Prepared:
    """A sandbox, and a version's bundle that fits its interpreter."""

    sandbox: Sandbox
    bundle: Path


def sandboxes(driver: str = "") -> Offer:
    """The sandboxes that this worker has, or those of the driver that is named.

    Raises PlatformFault if none works here.
    """
    try:
        return _offer(
            driver or settings.SANDBOX_DRIVER,
            tuple(settings.SANDBOX_IMAGES),
            settings.PATHS.sandbox,
            settings.SANDBOX_DOCKER_RUNTIME,
            tuple(map(Path, settings.SANDBOX_PYTHONS)),
        )
    except (SandboxUnavailable, ValueError) as error:
        raise PlatformFault(
            f"No sandbox works on this worker, so nothing was run. {error}"
        ) from error


def look_again(driver: str = "") -> Offer:
    """What works here now, whatever did before. Raises as `sandboxes` does."""
    _offer.cache_clear()
    return sandboxes(driver)


@functools.cache
def _offer(
    driver: str,
    images: tuple[str, ...],
    state_dir: Path,
    runtime: str | None,
    pythons: tuple[Path, ...],
) -> Offer:
    # Found out once in a process: each look starts a sandbox.
    return offer(
        driver, images=images, state_dir=state_dir, docker_runtime=runtime, pythons=pythons
    )


def runtime(version: Version) -> Sandbox:
    """The sandbox to build a version in.

    Its Python is the one that the version was locked for, if it is still offered; else the
    default, or the newest, that `requires-python` allows. Raises EnvironmentFault if there is none.
    """
    found = sandboxes()
    wanted = SpecifierSet(version.requires_python)
    allowed = [python for python, whole in found.versions.items() if whole in wanted]
    if not allowed:
        raise EnvironmentFault(
            f"It requires Python {version.requires_python}; this hub offers "
            f"{', '.join(found.pythons)}. Change requires-python if it also runs there."
        )
    newest = max(allowed, key=lambda python: [int(part) for part in python.split(".")])
    default = allowed[0] if allowed[0] == found.pythons[0] else newest
    return _sandbox(found, version.python if version.python in allowed else default)


def _sandbox(found: Offer, python: str) -> Sandbox:
    try:
        return found.sandbox(python)
    except (KeyError, SandboxUnavailable) as error:
        raise PlatformFault(
            f"This worker has no sandbox with Python {python}, for which the version was built."
        ) from error


@contextmanager
def prepared(evaluation: Evaluation) -> Iterator[Prepared]:
    """The sandbox and the bundle of a version that was built; it is not dropped meanwhile."""
    version = evaluation.version
    version.refresh_from_db(fields=["python", "lock"])
    sandbox = _sandbox(sandboxes(), version.python)
    with bundles.held(version, sandbox) as bundle:
        yield Prepared(sandbox, bundle)


def launch(evaluation: Evaluation, prepared: Prepared, *, job: str, seconds: float) -> Launch:
    """The terms under which the version's runner is started."""
    version = evaluation.version
    memory = max(MEMORY_MB, version.min_memory_mb or 0)
    return Launch(
        job=job,
        bundle=prepared.bundle,
        paths=tuple(f"{MOUNTED}/{path}" for path in bundles.import_paths(version)),
        entry=version.entry,
        format=version.format or None,
        args=version.args,
        max_turns=evaluation.settings["turn_limit"],
        reward_range=(version.reward_low, version.reward_high),
        concurrency=evaluation.model.concurrency,
        limits=Limits(memory_mb=memory, seconds=seconds),
    )
