"""An environment's dependencies: locked with hashes and unpacked, without running any of them.

uv resolves and unpacks wheels only. Nothing is built here: building runs the code of whoever
wrote it, and that belongs in a sandbox.
"""

import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import uv

from graders.errors import EnvironmentFault, PlatformFault

TIMEOUT_S: Final = 300
# What uv says when the fault is not the requirements'.
_OURS: Final = (
    "failed to fetch",
    "error sending request",
    "connection",
    "timed out",
    "no space left",
)


def lock(dependencies: Sequence[str], *, python: str, index_url: str | None, cache: Path) -> str:
    """The exact wheels of `dependencies` for a Python ("3.12"), as a hashed requirements file.

    Raises EnvironmentFault if there is no such set of wheels, PlatformFault if the package index
    does not answer.
    """
    if not dependencies:
        return ""
    command = [
        *("pip", "compile", "-", "--generate-hashes", "--no-header", "--no-annotate"),
        *("--no-emit-index-url", "--quiet"),
        *_target(python),
        *_index(index_url),
    ]
    return _uv(command, cache=cache, text="\n".join(dependencies))


def unpack(locked: str, folder: Path, *, python: str, index_url: str | None, cache: Path) -> None:
    """Unpack the locked wheels into `folder`, each checked against its hash."""
    folder.mkdir(parents=True, exist_ok=True)
    if not locked:
        return
    command = [
        *("pip", "install", "--quiet", "--target", str(folder), "--require-hashes", "--no-deps"),
        *("--link-mode", "hardlink", "-r", "-"),
        *_target(python),
        *_index(index_url),
    ]
    _uv(command, cache=cache, text=locked)


def _target(python: str) -> list[str]:
    """Wheels only, for the sandbox's interpreter rather than the worker's."""
    machine = {"AMD64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
    return [
        *("--python-version", python),
        *("--python-platform", f"{machine}-manylinux_2_28"),
        *("--only-binary", ":all:", "--no-config"),
    ]


def _index(url: str | None) -> list[str]:
    return ["--default-index", url] if url else []


def _uv(command: list[str], *, cache: Path, text: str) -> str:
    cache.mkdir(parents=True, exist_ok=True)
    environment = {
        "PATH": os.defpath,
        "HOME": str(cache),
        "UV_CACHE_DIR": str(cache),
        "NO_COLOR": "1",
    }
    for name in ("SSL_CERT_FILE", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"):
        if name in os.environ:
            environment[name] = os.environ[name]
    try:
        done = subprocess.run(  # noqa: S603 - a fixed program; the requirements go in as data
            [uv.find_uv_bin(), *command],
            input=text,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            env=environment,
            # uv reads settings of the project it is started in; here there is none.
            cwd=cache.parent,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise PlatformFault(f"Resolving the dependencies took over {TIMEOUT_S} s.") from error
    if done.returncode:
        raise _fault(done.stderr)
    return done.stdout


def _fault(said: str) -> EnvironmentFault | PlatformFault:
    said = said.strip()[:4000]
    if any(sign in said.lower() for sign in _OURS):
        return PlatformFault(f"The package index did not answer:\n{said}")
    hint = ""
    if "no usable wheels" in said or "Wheels are required" in said:
        hint = (
            "\nOnly wheels are installed: a dependency that is published as a source archive "
            "alone cannot be used yet. Pin a release that has a wheel, or vendor its code."
        )
    return EnvironmentFault(f"The dependencies cannot be installed.\n{said}{hint}")
