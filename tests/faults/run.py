"""One run: start the stack, break it while it works, let it come to rest, look at what is left."""

import argparse
import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from django.conf import settings

from graders.models import Evaluation
from hub.stack.errors import StackError
from hub.stack.processes import Lock, Supervisor, stop_on_signals
from tests.faults import daemon, faults, invariants, leftovers, settling, witness
from tests.faults.clients import Crowd, Site
from tests.faults.packages import Maker
from tests.faults.report import Check, FaultRow, Report, say
from tests.faults.scene import Scene
from tests.faults.stack import World

DISK = "size=160m,mode=0700"
EVALUATIONS_A_ROUND = 150
REST_S = 600.0


def main(arguments: Sequence[str]) -> int:
    """Prints the table; 1 if an invariant is violated."""
    options = parser().parse_args(arguments)
    stop_on_signals()
    begun = time.monotonic()
    paths = settings.PATHS
    for folder in (paths.media, paths.work):
        _mount_small_disk(folder)
    try:
        with Supervisor(paths.logs, Lock(paths.data), say) as supervisor:
            world = World(paths, supervisor, options.seed)
            scene = _begin(world, options)
            checks = _carry_out(scene, options)
            report = _report(scene, checks, options.seed, time.monotonic() - begun)
    except StackError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    text = json.dumps(report.to_json(), indent=2) if options.json else report.text()
    sys.stdout.write(text + "\n")
    return 0 if report.passed else 1


def parser() -> argparse.ArgumentParser:
    described = "Break a real stack while it evaluates, and check that nothing was lost."
    made = argparse.ArgumentParser(prog="python -m tests.faults", description=described)
    made.add_argument("--evaluations", type=int, default=500, metavar="N")
    made.add_argument("--seed", type=int, default=1, help="of the schedule and the packages")
    made.add_argument("--only", default="", metavar="TEXT", help="faults with this in their name")
    made.add_argument("--json", action="store_true", help="the report as JSON")
    return made


def _begin(world: World, options: argparse.Namespace) -> Scene:
    """The stack and its Docker daemon, if this machine has one, and the people."""
    world.start()
    witness.install(world)
    own = daemon.Daemon(world.paths.data / "docker") if daemon.is_there() else None
    if own is not None:
        world.launch(own.program())
        own.load_image()
        world.start_docker_worker(own.host)
    site = Site(world.port, world.tokens)
    return Scene(world, site, Crowd(site), Maker(options.seed), own)


def _carry_out(scene: Scene, options: argparse.Namespace) -> list[Check]:
    """Breaks the stack, lets it come to rest, and returns what was checked."""
    times = max(1, options.evaluations // EVALUATIONS_A_ROUND)
    order = faults.plan(
        random.Random(options.seed), times, only=options.only, with_docker=scene.daemon is not None
    )
    uploads = [scene.in_somebodys_name(made) for made in scene.maker.some(options.evaluations)]
    faults.inject(scene, order, uploads)
    settling.heal(scene)
    rested = settling.come_to_rest(scene, REST_S)
    again = settling.evaluate_again(scene)
    say(f"{again} healthy versions had failed by the platform's fault; asked again")
    rested = settling.come_to_rest(scene, REST_S) and rested
    scene.crowd.stop()
    settling.reap(scene)
    return _check(scene, rested=rested, again=again)


def _check(scene: Scene, *, rested: bool, again: int) -> list[Check]:
    seen = Check("-", "what clients and operators see meanwhile")
    seen.expect(rested, "The stack did not come to rest.")
    seen.checked += sum(met.total() for met in scene.seen.values())
    seen.violations += scene.findings
    seen.notes.append(f"{again} healthy versions were evaluated again after a platform's fault")
    one = Check("I1", "accepted uploads = rows = stored bytes")
    two = Check("I2", "every job and evaluation ended")
    three = Check("I3", "one result an evaluation")
    four = Check("I4", "no orphan after one reaper's cycle")
    five = Check("I5", "no infrastructure failure became a score")
    six = Check("I6", "no stale token wrote")
    seven = Check("I7", "the audit log is complete")
    invariants.uploads(scene, one)
    invariants.at_rest(scene, two)
    invariants.results(scene, three)
    leftovers.look(scene, four)
    invariants.scores(scene, five)
    invariants.fencing(scene, six)
    invariants.audit_log(scene, seven)
    return [seen, one, two, three, four, five, six, seven]


def _report(scene: Scene, checks: list[Check], seed: int, seconds: float) -> Report:
    rows = [FaultRow(name, met.total(), dict(met)) for name, met in scene.seen.items()]
    stages = Counter(Evaluation.objects.values_list("stage", flat=True))
    return Report(seed, seconds, dict(stages), dict(scene.crowd.answers), rows, checks)


def _mount_small_disk(folder: Path) -> None:
    """Lays a disk of the run's own over a folder; it goes with the run's mount namespace."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", DISK, "faults", str(folder)], check=True)
