"""Sandboxes for code that nobody trusts. Nothing contributed ever runs outside one."""

from collections.abc import Callable
from pathlib import Path

from graders.sandbox.base import (
    Ending,
    EndReason,
    Limits,
    Mount,
    Running,
    Sandbox,
    SandboxGone,
    SandboxUnavailable,
    Shortfall,
    Spec,
)
from graders.sandbox.bubblewrap import Bubblewrap
from graders.sandbox.docker import Docker

__all__ = [
    "EndReason",
    "Ending",
    "Limits",
    "Mount",
    "Running",
    "Sandbox",
    "SandboxGone",
    "SandboxUnavailable",
    "Shortfall",
    "Spec",
    "choose",
]


def choose(
    driver: str, *, image: str, state_dir: Path, docker_runtime: str | None = None
) -> Sandbox:
    """A sandbox that has run a command here.

    `driver` is "docker", "bubblewrap", or "auto": Docker where its daemon answers and has `image`,
    else bubblewrap. `state_dir` keeps uid slots and bubblewrap's root; all workers of a host share
    it. Raises SandboxUnavailable with every reason when none works, ValueError for another driver.
    """
    makers: dict[str, Callable[[], Sandbox]] = {
        "docker": lambda: Docker(image, state_dir, docker_runtime),
        "bubblewrap": lambda: Bubblewrap(state_dir),
    }
    if driver not in (*makers, "auto"):
        raise ValueError(f"sandbox driver {driver!r} is not one of: auto, {', '.join(makers)}")
    reasons = []
    for name in makers if driver == "auto" else [driver]:
        try:
            sandbox = makers[name]()
            assert sandbox.python
            return sandbox
        except SandboxUnavailable as error:
            reasons.append(f"{name}: {error}")
    raise SandboxUnavailable("no sandbox can be used. " + "; ".join(reasons))
