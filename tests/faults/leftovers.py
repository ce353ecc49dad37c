"""I4: nothing of a dead worker, a dead site or a dead daemon is left after one reaper's cycle."""

from graders.sandbox.cgroups import Cgroups
from graders.sandbox.slots import Slots
from tests.faults import processes
from tests.faults.containers import groups_of_containers
from tests.faults.report import Check
from tests.faults.scene import Scene

# What a sandbox is made of, by a word of its command.
SANDBOXES = ("bwrap", "launcher.py", "practicum_runner", "docker-init")
SHIM = "containerd-shim"


def look(scene: Scene, check: Check) -> None:
    """Processes, cgroups, containers and temporary files."""
    _processes(check)
    owner = Slots(scene.world.paths.sandbox).owner
    groups = sorted(Cgroups(owner).names())
    check.expect(not groups, f"Control groups are left: {groups}")
    _containers(scene, check)
    work = scene.world.paths.work
    for pattern in ("*.upload*", "store/*/.new-*", "**/.tmp*"):
        for path in work.glob(pattern):
            check.expect(False, f"{path.relative_to(work)} is left.")
    check.checked += 1


def _processes(check: Check) -> None:
    every = processes.every()
    for process in every.values():
        command = process.command.replace("\0", " ")
        is_sandbox = any(word in process.command for word in (*SANDBOXES, SHIM))
        check.expect(not is_sandbox, f"A sandbox's process is left: {command[:120]}")
        is_stray = process.parent == 1 and not process.is_tether and process.pid != 1
        check.expect(not is_stray, f"A process of nobody is left: {command[:120]}")


def _containers(scene: Scene, check: Check) -> None:
    if scene.daemon is None:
        return
    left = scene.daemon.containers()
    check.expect(not left, f"Containers are left: {left}")
    for folder in groups_of_containers(scene.world.paths.logs):
        check.expect(False, f"The control group {folder} is left.")
