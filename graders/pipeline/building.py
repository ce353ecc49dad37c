"""Build: choose a Python, lock the dependencies and the data, make the bundle."""

from environments import services as catalogue
from environments.models import Version
from environments.queries import locked_beside
from graders import jobs, services
from graders.beating import Heartbeat
from graders.bundling import lock as locks
from graders.bundling.lock import BadLock
from graders.jobs import Claim
from graders.models import Evaluation
from graders.pipeline import bundles, launching
from graders.sandbox import Sandbox
from graders.sandbox.interpreters import minor


def run(held: Claim, heartbeat: Heartbeat) -> None:
    """Carry out a build job."""
    evaluation = held.job.evaluation
    version, sandbox = evaluation.version, launching.runtime(evaluation.version)
    version.lock = _lock(version, sandbox, held, heartbeat)
    version.python = minor(sandbox.python)
    # Made here, where a fault of the dependencies is told as one.
    with bundles.held(version, sandbox, heartbeat.check):
        bundles.keep(version, heartbeat.check)
    with jobs.guarded(held) as job:
        # If a sibling was locked meanwhile, its lock; the bundle is then made when it is needed.
        version.lock = catalogue.keep_build(
            version=version, lock=version.lock, python=version.python
        )
        Evaluation.objects.filter(pk=evaluation.pk).update(sandbox=sandbox.name)
        services.built(job)
        jobs.finish(job, log=_log(version, sandbox))


def _lock(version: Version, sandbox: Sandbox, held: Claim, heartbeat: Heartbeat) -> str:
    """The lock that the version has, if it is for this Python; else a sibling's; else a new one."""
    python = minor(sandbox.python)
    own = version.lock if version.python == python else ""
    for found in (own, locked_beside(version, python)):
        if found and _is_lock(found):
            return found
    name = f"build-{held.job.pk}-{held.token}"
    return bundles.lock(version, sandbox, job=name, check=heartbeat.check)


def _is_lock(text: str) -> bool:
    try:
        locks.read(text)
        locks.read_data(text)
    except BadLock:
        return False
    return True


def _log(version: Version, sandbox: Sandbox) -> str:
    lines = [f"sandbox: {sandbox.name}, Python {sandbox.python}", *sandbox.warnings()]
    wheels, data = locks.read(version.lock), locks.read_data(version.lock)
    lines += [
        f"{wheel.name} {wheel.version}" + (" (built from source)" if wheel.built_from else "")
        for wheel in wheels
    ] or ["no dependencies"]
    size = sum(file.size for file in data)
    return "\n".join([*lines, f"data: {len(data)} files, {size} bytes"] if data else lines)
