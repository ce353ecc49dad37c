"""What every step that runs contributed code needs: sandbox, bundle, the session's terms."""

from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from graders.errors import PlatformFault
from graders.models import Evaluation
from graders.pipeline import bundles
from graders.sandbox import Sandbox, SandboxUnavailable, choose
from graders.sandbox.base import Limits
from graders.session import Launch

MEMORY_MB = 512
MOUNTED = "/env"


@dataclass(frozen=True)
class Prepared:
    """A sandbox, and a version's bundle that fits its interpreter."""

    sandbox: Sandbox
    bundle: Path
    lock: str


def sandbox(driver: str = "") -> Sandbox:
    """The sandbox that this worker uses, or the one named. Raises PlatformFault if none works."""
    try:
        return choose(
            driver or settings.SANDBOX_DRIVER,
            image=settings.SANDBOX_IMAGE,
            state_dir=settings.PATHS.sandbox,
            docker_runtime=settings.SANDBOX_DOCKER_RUNTIME,
        )
    except (SandboxUnavailable, ValueError) as error:
        raise PlatformFault(
            f"No sandbox works on this worker, so nothing was run. {error}"
        ) from error


def prepare(evaluation: Evaluation) -> Prepared:
    """The sandbox and the bundle, made if this worker does not have it."""
    chosen = sandbox()
    locked = bundles.lock(evaluation.version, chosen.python)
    return Prepared(chosen, bundles.ensure(evaluation.version, locked, chosen.python), locked)


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
