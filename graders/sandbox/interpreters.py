"""The CPython interpreters of this machine that bubblewrap's roots can be made of."""

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MINORS = ("3.11", "3.12", "3.13")
_ASK = """
import json, os, platform, sys, sysconfig
base = {"base": sys.base_prefix, "platbase": sys.base_prefix, "installed_base": sys.base_prefix}
include = sysconfig.get_path("include", vars=base)
print(json.dumps({
    "executable": os.path.realpath(sys.executable),
    "implementation": platform.python_implementation(),
    "version": platform.python_version(),
    "prefix": sys.base_prefix,
    "libraries": sorted({
        sysconfig.get_path("stdlib", vars=base),
        sysconfig.get_path("platstdlib", vars=base),
    }),
    "headers": [include, os.path.join(
        os.path.dirname(include), sysconfig.get_config_var("MULTIARCH") or "",
        os.path.basename(include),
    )],
}))
"""


@dataclass(frozen=True)
class Interpreter:
    """Where an interpreter, its standard library and its C headers lie.

    `version` is the whole one, "3.11.7". There may be no headers.
    """

    executable: Path
    version: str
    prefix: Path
    libraries: tuple[Path, ...]
    headers: tuple[Path, ...]

    @property
    def minor(self) -> str:
        return minor(self.version)


def minor(version: str) -> str:
    """ "3.11" of "3.11.7"."""
    return ".".join(version.split(".")[:2])


def describe(python: Path) -> Interpreter:
    """Ask an interpreter about itself. Raises OSError for one that gives no answer of use."""
    try:
        asked = subprocess.run(  # noqa: S603 - an interpreter that the operator installed
            [python, "-I", "-c", _ASK],
            capture_output=True,
            text=True,
            env={},
            timeout=30,
            check=True,
        )
        told = json.loads(asked.stdout)
    except subprocess.CalledProcessError as error:
        raise OSError(f"{python} does not run: {error.stderr.strip()[-200:]}") from error
    except (subprocess.TimeoutExpired, ValueError) as error:
        raise OSError(f"{python} does not answer as a Python does") from error
    if told["implementation"] != "CPython":
        raise OSError(f"{python} is {told['implementation']}, not CPython")
    if minor(told["version"]) not in MINORS:
        raise OSError(f"{python} is {told['version']}; the hub supports {', '.join(MINORS)}")
    return Interpreter(
        Path(told["executable"]),
        told["version"],
        Path(told["prefix"]),
        tuple(map(Path, told["libraries"])),
        tuple(path for path in map(Path, told["headers"]) if path.is_dir()),
    )


def find(named: Sequence[Path] = ()) -> dict[str, Interpreter]:
    """One interpreter for each minor version that the hub supports, by it; the default first.

    `named` are all there are, and each has to work (OSError otherwise). Without any: the one that
    runs this process, then whatever answers to `python3.X` on the path.
    """
    found: dict[str, Interpreter] = {}
    for one in map(describe, named):
        found.setdefault(one.minor, one)
    if named:
        return found
    names = [sys.executable, *(shutil.which(f"python{version}") for version in MINORS)]
    for path in filter(None, names):
        try:
            one = describe(Path(path))
        except OSError:
            continue  # a shim of a version manager, say, with nothing behind it
        found.setdefault(one.minor, one)
    return found
