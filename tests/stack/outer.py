"""A supervisor in a process of its own, for the tests that kill or interrupt it.

`python tests/stack/outer.py DATA FOLDER GRACE` starts a program that has to be killed, says
"up", and waits for its end.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from hub.stack.paths import Paths
from hub.stack.processes import Lock, Program, Supervisor, stop_on_signals

# Ignores being asked to stop, and so does its grandchild, which has detached itself.
SCRIPT = """
trap '' TERM INT HUP QUIT
setsid sh -c 'trap "" TERM INT HUP QUIT; echo $$ > "$0"/detached; while :; do sleep 60; done' "$0" &
echo $$ > "$0"/stubborn
while :; do sleep 60; done
"""


def stubborn(folder: Path, grace: float) -> Program:
    """A program that writes its processes' numbers to `folder`/stubborn and /detached."""
    return Program(
        name="stubborn",
        label="Stubborn",
        command=["sh", "-c", SCRIPT, str(folder)],
        ready=(folder / "detached").exists,
        grace=grace,
    )


def main(data: str, folder: str, grace: str) -> None:
    stop_on_signals()
    paths = Paths(Path(data))
    with Supervisor(paths.logs, Lock(paths.data), lambda _: None) as supervisor:
        supervisor.start(stubborn(Path(folder), float(grace)))
        try:
            print("up", flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            print("stopping", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
