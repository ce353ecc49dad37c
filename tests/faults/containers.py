"""The control groups of the containers that a run started. No Django: they are removed without."""

import re
from pathlib import Path

from graders.sandbox.cgroups import hierarchies
from graders.sandbox.docker import PARENT

STARTED = re.compile("/moby/([0-9a-f]{64})")


def groups_of_containers(logs: Path) -> list[Path]:
    """The control groups, there now, of all containers that the run's own daemon started."""
    text = "".join(path.read_text(errors="replace") for path in logs.glob("dockerd.log*"))
    places = [
        tree.mount / PARENT / container
        for container in sorted(set(STARTED.findall(text)))
        for tree in hierarchies()
    ]
    return [place for place in places if place.is_dir()]
