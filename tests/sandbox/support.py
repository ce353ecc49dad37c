"""What the sandbox tests share: specs, and what runs could have left behind."""

import contextlib
from pathlib import Path

import pytest
from django.conf import settings

import docker
from graders.sandbox import Limits, Mount, Sandbox, Spec
from graders.sandbox.cgroups import hierarchies

IMAGE = settings.SANDBOX_IMAGES[0]
DRIVERS = [pytest.param("docker", marks=pytest.mark.docker), "bubblewrap"]


def spec(code: str, *mounts: Mount, **limits: float) -> Spec:
    """A spec that runs `code` under the interpreter inside."""
    bounded = Limits(**({"seconds": 30.0} | limits))
    return Spec("test-job", ("python3", "-I", "-c", code), mounts, bounded)


def uids_in_use() -> set[int]:
    """Uids of all processes there are, zombies too."""
    uids = set()
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            uids.add(path.stat().st_uid)
    return uids


def groups(owner: str) -> list[Path]:
    """Cgroups of bubblewrap's runs."""
    return [path for tree in hierarchies() for path in tree.own.glob(f"practicum-{owner}-*")]


def containers(owner: str) -> list[str]:
    """Ids of containers, stopped ones too."""
    try:
        api = docker.from_env(timeout=10).api
    except docker.errors.DockerException:
        return []
    found = api.containers(all=True, filters={"label": f"hub.state={owner}"})
    return [container["Id"] for container in found]


def mine(sandbox: Sandbox) -> str:
    """What names the traces of a sandbox."""
    return sandbox._slots.owner


def traces(owner: str) -> tuple[object, ...]:
    """Cgroups, containers and mounts: all empty once runs are over."""
    stages = [line for line in Path("/proc/mounts").read_text().splitlines() if owner in line]
    return groups(owner), containers(owner), stages


def left_by(sandbox: Sandbox) -> tuple[object, ...]:
    """Cgroups, containers, mounts and uids of processes: all empty once runs are over."""
    return (*traces(mine(sandbox)), uids_in_use() & set(sandbox._slots.uids))
