"""Build: lock the dependencies and make the bundle."""

from environments import services as catalogue
from graders import jobs, services
from graders.beating import Heartbeat
from graders.jobs import Claim
from graders.models import Evaluation
from graders.pipeline import launching


def run(held: Claim, _: Heartbeat) -> None:
    """Carry out a build job."""
    evaluation = held.job.evaluation
    prepared = launching.prepare(evaluation)
    wheels = [line.split()[0] for line in prepared.lock.splitlines() if "==" in line]
    log = [
        f"sandbox: {prepared.sandbox.name}, Python {prepared.sandbox.python}",
        *prepared.sandbox.warnings(),
        f"wheels: {', '.join(wheels) or 'none'}",
    ]
    with jobs.guarded(held) as job:
        catalogue.keep_build(version=evaluation.version, lock=prepared.lock)
        Evaluation.objects.filter(pk=evaluation.pk).update(sandbox=prepared.sandbox.name)
        services.built(job)
        jobs.finish(job, log="\n".join(log))
