"""Hostile code against both drivers; after each module the host is as it was."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from graders.sandbox import Sandbox
from tests.sandbox.conftest import sandbox, state_dir
from tests.sandbox.support import left_by

from .support import Host, attackable

__all__ = ["sandbox", "state_dir"]

# Where a run could leave a file, had it found a way.
PLACES = ("/tmp", "/var/tmp", "/dev/shm", "/run", "/etc", "/var/lib/docker/containers")


def files_of(uids: range) -> list[str]:
    """Files that belong to runs, outside their sandboxes."""
    found = []
    for place in PLACES:
        for top, folders, names in os.walk(place):
            for name in (*folders, *names):
                path = os.path.join(top, name)  # noqa: PTH118
                try:
                    if os.lstat(path).st_uid in uids:
                        found.append(path)
                except OSError:
                    continue
    return found


def shared_memory_of(uids: range) -> list[str]:
    """System V shared memory and semaphores that runs left to the host."""
    found = []
    for kind in ("shm", "sem", "msg"):
        header, *lines = Path(f"/proc/sysvipc/{kind}").read_text().splitlines()
        at = header.split().index("uid")
        found += [line for line in lines if int(line.split()[at]) in uids]
    return found


@pytest.fixture(scope="module")
def host_unchanged(sandbox: Sandbox) -> Iterator[None]:
    """No process, container, cgroup, mount, file or shared memory of a run outlives it."""
    uids = sandbox._slots.uids
    yield
    assert left_by(sandbox) == ([], [], [], set())
    assert files_of(uids) == []
    assert shared_memory_of(uids) == []


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with attackable(tmp_path_factory.mktemp("host")) as found:
        yield found
