"""A worker with secrets in its environment, which runs the attacks beside another run.

`python -m tests.hostile.worker DRIVER IMAGE STATE FOLDER`, facts as JSON on standard input; prints
the outcomes, and how the run ended, as one JSON object.
"""

import json
import sys
from pathlib import Path

from graders.link import ENV, PYTHON
from graders.sandbox import Limits, Mount, Sandbox, Spec, offer

# `names` says which attacks; None is all of them.
ATTACK = (
    "import sys; sys.path.insert(0, {folder!r}); from attacks.harness import main; main({names!r})"
)


def neighbour(facts: dict, folder: str) -> list[str]:
    """Its command line, after the interpreter's; `folder` is where the attacks are."""
    words = [facts[key] for key in ("neighbour", "neighbour_port", "shm_key")]
    return [f"{folder}/attacks/neighbour.py", *map(str, words), facts["neighbour_watches"]]


def main(sandbox: Sandbox, folder: Path, facts: dict) -> None:
    mounts = (Mount(folder, "/env"),)
    other = Spec("other", (*PYTHON, *neighbour(facts, "/env")), mounts, Limits(seconds=120), ENV)
    code = ATTACK.format(folder="/env", names=None)
    mine = Spec("attack", (*PYTHON, "-c", code), mounts, Limits(seconds=90), ENV)
    with sandbox.start(other) as beside:
        assert beside.receive() == b"up\n", beside.wait()
        with sandbox.start(mine) as running:
            running.send(json.dumps(facts).encode())
            running.close_input()
            said = b"".join(iter(running.receive, b""))
            ending = running.wait()
    outcomes = json.loads(said or b"{}")
    print(
        json.dumps(
            {"outcomes": outcomes, "ending": [ending.reason, ending.exit_code, ending.stderr]}
        )
    )


if __name__ == "__main__":
    driver, image, state, folder = sys.argv[1:]
    chosen = offer(driver, images=[image], state_dir=Path(state)).default
    main(chosen, Path(folder), json.load(sys.stdin))
