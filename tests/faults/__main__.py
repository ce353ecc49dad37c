"""`python -m tests.faults`: a fault run in namespaces of its own.

All mounts and processes of the run live in a mount and a PID namespace, which the kernel clears
when the run ends, however it ends. What is left to remove are its folder and its control groups.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from graders.sandbox.cgroups import hierarchies
from graders.sandbox.slots import Slots
from hub.stack.paths import REPOSITORY
from tests.faults.containers import groups_of_containers

NAMESPACES = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
# Faults are noticed within seconds, and nobody is held back for uploading much.
LIMITS = {
    "JOB_LEASE_SECONDS": "8",
    "JOB_HEARTBEAT_SECONDS": "2",
    "JOB_GRACE_SECONDS": "5",
    "QUOTA_UPLOADS_PER_HOUR": "100000",
    "QUOTA_RUNNING_EVALUATIONS": "100",
    "DATABASE_IDLE_SECONDS": "8",
    "LOG_LEVEL": "INFO",
}
KEPT = Path(tempfile.gettempdir()) / "practicum-faults-logs"


def main() -> int:
    if os.geteuid() != 0:
        sys.stderr.write("The fault run mounts small disks of its own: run it as root.\n")
        return 2
    folder = Path(tempfile.mkdtemp(prefix="practicum-faults-"))
    code = 1
    try:
        code = _run(folder)
    finally:
        if code != 0:
            _keep_logs(folder)
        _remove_cgroups(folder)
        shutil.rmtree(folder, ignore_errors=True)
    return code


def _run(folder: Path) -> int:
    """Carries the run out; an interrupt reaches it too, and it ends by itself."""
    environment = {**os.environ, **LIMITS, "PRACTICUM_DATA": str(folder)}
    command = [*NAMESPACES, sys.executable, "-m", "tests.faults.inner", *sys.argv[1:]]
    with subprocess.Popen(
        command, cwd=REPOSITORY, env=environment, start_new_session=True
    ) as inner:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: _interrupt(inner.pid))
        code = inner.wait()
    return code if code >= 0 else 128 - code


def _interrupt(outer: int) -> None:
    """Passes an interrupt on to the run: the child of the process that made the namespaces."""
    children = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()
    for child in children:
        with suppress(ProcessLookupError):
            os.kill(int(child), signal.SIGINT)


def _keep_logs(folder: Path) -> None:
    logs = folder / "logs"
    if logs.is_dir():
        shutil.rmtree(KEPT, ignore_errors=True)
        shutil.copytree(logs, KEPT)
        sys.stderr.write(f"The logs are kept in {KEPT}\n")


def _remove_cgroups(folder: Path) -> None:
    """Removes the empty control groups of the run's sandboxes."""
    owner = Slots(folder / "sandbox").owner
    places = groups_of_containers(folder / "logs")
    for tree in hierarchies():
        places += [*tree.mount.rglob(f"practicum-{owner}*")]
    for place in places:
        with suppress(OSError):
            place.rmdir()


if __name__ == "__main__":
    sys.exit(main())
