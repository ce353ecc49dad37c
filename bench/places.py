"""What each way runs in, made once and kept: virtual environments and a bundle."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from uv import find_uv_bin

from bench.arms import REPOSITORY
from tests.runner.local import INTERPRETER

PROJECT = REPOSITORY / "bench" / "sums"
KEPT = REPOSITORY / "var" / "bench"
REQUIREMENTS = {
    "verifiers": ("verifiers==0.3.1",),
    "inspect": ("inspect_ai==0.3.285", "openai"),
}


def venv(name: str, *requirements: str) -> Path:
    """The interpreter of a virtual environment, with bytecode, of this process's Python."""
    folder = KEPT / f"{name}-{sys.version_info.major}.{sys.version_info.minor}"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        _uv("venv", "--clear", "--python", INTERPRETER, str(folder))
        _uv("pip", "install", "--compile-bytecode", "--python", str(python), *requirements)
        (folder / "complete").touch()
    return python


def bundle(python: str) -> Path:
    """The environment and its dependencies as a build lays them out, for a sandbox's Python."""
    minor = ".".join(python.split(".")[:2])
    folder = KEPT / f"bundle-{minor}"
    libraries = folder / "site-packages"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        libraries.mkdir(parents=True)
        target = ("--target", str(libraries), "--python-version", minor, "--python", INTERPRETER)
        _uv("pip", "install", *target, *REQUIREMENTS["verifiers"])
        (folder / "complete").touch()
    shutil.rmtree(folder / "project", ignore_errors=True)
    shutil.copytree(PROJECT, folder / "project", ignore=shutil.ignore_patterns("__pycache__"))
    for place in (KEPT, folder, folder / "project"):
        place.chmod(0o755)
    return folder


def state() -> Path:
    """Where the sandboxes keep what they need again."""
    folder = KEPT / "state"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _uv(*arguments: str) -> None:
    env = {**os.environ, "VIRTUAL_ENV": ""}
    subprocess.run([find_uv_bin(), *arguments, "--quiet"], env=env, check=True)
