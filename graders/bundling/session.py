"""One build sandbox, driven: requirements go in, a lock and built wheels come out.

What its builder asks of the package index goes through the relay. Code that a build runs can forge
what its own build says, and no more: the worker checks each file by a digest of its own, and gives
it to this version alone.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import uv

from graders.bundling import driven, picking, toolchain
from graders.bundling.driven import Driven, piece
from graders.bundling.limits import MIB, BuildLimits
from graders.bundling.relay import Answer, Relay
from graders.errors import EnvironmentFault
from graders.fields import Fields, ProtocolError
from graders.runner.frames import MAX_NAME
from graders.sandbox.base import Mount, Sandbox, Spec

MAX_LOCK = 4 << 20  # characters


@dataclass(frozen=True)
class Built:
    """A wheel that came out of the sandbox."""

    filename: str
    sha256: str
    content: bytes


class BuildFailed(EnvironmentFault):
    """A source archive did not build."""


class BuildSession(Driven):
    """A builder that resolves and builds. `as_of`: what the index got later is not there."""

    work = "Building the dependencies"
    advice = "pin versions, or depend on releases that have wheels"
    longest_path = 1000

    def __init__(
        self,
        sandbox: Sandbox,
        relay: Relay,
        limits: BuildLimits,
        *,
        as_of: datetime,
        job: str,
        compiler: Mount | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._relay = relay
        self._compiler = compiler
        self._as_of = as_of.isoformat()
        self._built = 0  # bytes
        super().__init__(sandbox, limits, job, check)

    def resolve(self, requirements: list[str]) -> str:
        """The requirements, locked: `name==version --hash=...` lines."""
        platform = f"{picking.machine()}-manylinux_2_{picking.GLIBC}"
        self._send("resolve", requirements=requirements, platform=platform, as_of=self._as_of)
        text: str = self._next({"lock": lambda fields: fields.text("text", MAX_LOCK)})
        return text

    def build(self, path: str, filename: str) -> Built:
        """Build the wheel of a source archive, which the relay has at `path`."""
        self._send("build", path=path, filename=filename, as_of=self._as_of)
        name, size = self._next({"wheel": self._wheel_head})
        digest, parts, missing = hashlib.sha256(), [], size
        while missing:
            part: bytes = self._next({"piece": piece})
            if not part or len(part) > missing:
                raise ProtocolError("The builder sent a wheel of another size than it said.")
            digest.update(part)
            parts.append(part)
            missing -= len(part)
        return Built(name, digest.hexdigest(), b"".join(parts))

    def _spec(self, job: str) -> Spec:
        mounts = [Mount(Path(uv.find_uv_bin()).resolve(), "/opt/uv")]
        mounts += [self._compiler] if self._compiler else []
        env = toolchain.environment() if self._compiler else {}
        return driven.spec(job, self._limits, *mounts, sends_mb=self._limits.built_mb, env=env)

    def _get(self, path: str, asked: Mapping[str, str]) -> Answer:
        return self._relay.get(path)

    def _blame(self, said: str) -> EnvironmentFault:
        fault = BuildFailed if "build backend returned an error" in said else EnvironmentFault
        return fault(f"The dependencies cannot be installed.\n{said}")

    def _wheel_head(self, fields: Fields) -> tuple[str, int]:
        name, size = fields.text("filename", 2 * MAX_NAME), fields.whole("size", 1 << 40)
        self._built += size
        if self._built > self._limits.built_mb * MIB:
            raise EnvironmentFault(
                f"The wheels built from source archives have over {self._limits.built_mb} MiB. "
                "Depend on releases that have wheels."
            )
        return name, size
