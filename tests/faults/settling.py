"""Letting a broken stack come to rest, and clearing up after it as the hub itself does."""

import os
import subprocess
import sys
import time
from pathlib import Path

from environments.models import Version
from environments.states import Status
from hub.stack.paths import REPOSITORY
from tests.faults import witness
from tests.faults.containers import groups_of_containers
from tests.faults.report import say
from tests.faults.scene import Scene

AGE = 5 * 3600.0  # seconds; older than anything a job or an upload still needs
REAP = "import django; django.setup(); from graders import tasks; tasks.reap(); tasks.clean()"
REAP_S = 60
OPEN = """
SELECT 'jobs', count(*) FROM graders_job WHERE status IN ('queued', 'running')
UNION ALL SELECT 'evaluations', count(*) FROM graders_evaluation
    WHERE stage NOT IN ('done', 'failed', 'cancelled')
UNION ALL SELECT 'versions', count(*) FROM environments_version WHERE status = 'uploaded'
"""


def heal(scene: Scene) -> None:
    """Takes every fault back and waits until everything answers."""
    world = scene.world
    world.wait(lambda: witness.stretch_commits(world, slow=False), 60)
    world.control_model("ok", 0)
    scene.expect(world.wait(world.is_up, 90), "The stack did not come back.")


def come_to_rest(scene: Scene, seconds: float) -> bool:
    """Waits until nobody uploads, no job is open and no version waits; False if that lasts."""
    said = [time.monotonic()]

    def is_at_rest() -> bool:
        waiting = _waiting(scene)
        if time.monotonic() - said[0] > 10:
            said[0] = time.monotonic()
            say(f"waiting: {waiting}, uploads {'done' if scene.crowd.is_done else 'under way'}")
        scene.world.pause(0.2)
        return bool(waiting) and scene.crowd.is_done and not any(waiting.values())

    return scene.wait(is_at_rest, seconds)


def evaluate_again(scene: Scene) -> int:
    """What an owner does after a platform's failure: ask again. Returns how often."""
    healthy = {upload.package.sha256: upload for upload in scene.known if upload.package.is_healthy}
    failed = Version.objects.filter(status=Status.FAILED, sha256__in=healthy)
    wanted = [healthy[digest] for digest in failed.values_list("sha256", flat=True)]
    for upload in wanted:
        status = scene.site.evaluate(upload)
        scene.expect(status in (200, 201, 202), f"Asking again got {status}.")
    return len(wanted)


def reap(scene: Scene) -> None:
    """One cycle of the hub's own reaper, for each kind of sandbox, some hours later."""
    for folder in (scene.world.paths.media, scene.world.paths.work):
        _age(folder)
    for group in groups_of_containers(scene.world.paths.logs):
        os.utime(group, (0, 0))
    drivers: dict[str, dict[str, str]] = {"bubblewrap": {}}
    if scene.daemon is not None:
        drivers["docker"] = {"DOCKER_HOST": scene.daemon.host}
    for driver, more in drivers.items():
        environment = {**os.environ, "SANDBOX_DRIVER": driver, **more}
        subprocess.run(
            [sys.executable, "-c", REAP],
            cwd=REPOSITORY,
            env=environment,
            check=True,
            timeout=REAP_S,
            capture_output=True,
        )


def _waiting(scene: Scene) -> dict[str, int]:
    """How much is not over yet; empty while the database does not answer."""
    rows = scene.world.rows(OPEN)
    return dict(rows) if rows else {}


def _age(folder: Path) -> None:
    """Makes everything in a folder look as if it had been there for hours."""
    then = time.time() - AGE
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, (then, then), follow_symlinks=False)
