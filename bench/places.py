"""What each way runs in, made once and kept: virtual environments and a bundle."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from uv import find_uv_bin

from bench.arms import REPOSITORY
from graders.bundling import wheels
from graders.bundling.compiling import Imports, add_bytecode
from graders.bundling.limits import BuildLimits
from graders.sandbox import Sandbox, interpreters
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


def bundle(sandbox: Sandbox) -> Path:
    """The environment and its dependencies, laid out and compiled as a build does it."""
    folder = KEPT / f"bundle-{sandbox.name}-{interpreters.minor(sandbox.python)}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    left_out = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PROJECT, folder / "project", ignore=left_out)
    site = folder / "site-packages"
    shutil.copytree(_libraries(sandbox), site, copy_function=os.link, ignore=left_out)
    wheels.open_folders(folder)
    wanted = Imports(modules=("sums",), paths=("project", "site-packages"))
    add_bytecode(folder, wanted, sandbox, BuildLimits(), job="bench")
    return folder


def _libraries(sandbox: Sandbox) -> Path:
    minor = interpreters.minor(sandbox.python)
    folder = KEPT / f"libraries-{minor}"
    site = folder / "site-packages"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        target = ("--target", str(site), "--python-version", minor, "--python", INTERPRETER)
        _uv("pip", "install", *target, *REQUIREMENTS["verifiers"])
        (folder / "complete").touch()
    return site


def state() -> Path:
    """Where the sandboxes keep what they need again."""
    folder = KEPT / "state"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _uv(*arguments: str) -> None:
    env = {**os.environ, "VIRTUAL_ENV": ""}
    subprocess.run([find_uv_bin(), *arguments, "--quiet"], env=env, check=True)
