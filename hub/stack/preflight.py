"""Says in one line what a machine lacks to install Practicum.

Run by its path, with whatever Python there is, before anything is installed: standard library
only, and nothing newer than Python 3.6.
"""

import ctypes
import importlib.util
import shutil
import sys

OLDEST, NEWEST = (3, 11), (3, 13)
NEEDED = 2.0  # GiB that the virtual environment and its downloads take


def problem(version, system, modules, has_openmp, free):
    # type: (tuple[int, int], str, dict[str, bool], bool, float) -> str
    """What is in the way, or an empty string. `free` is in GiB."""
    if not system.startswith("linux"):
        return "The embedded stack runs on Linux only; elsewhere use docker/compose.yaml."
    if not OLDEST <= version <= NEWEST:
        return (
            f"Practicum needs Python 3.11 to 3.13, and this is {version[0]}.{version[1]}: "
            "name another one, e.g. make PYTHON=python3.11 run."
        )
    missing = [name for name, found in modules.items() if not found]
    if missing:
        return (
            f"Python's {' and '.join(missing)} is missing: install it "
            "(on Debian: apt install python3-venv)."
        )
    if not has_openmp:
        return (
            "The library libgomp, with which the reference model uses several cores, is missing: "
            "install it (on Debian: apt install libgomp1)."
        )
    if free < NEEDED:
        return f"Only {free:.2f} GiB is free here, and installing needs {NEEDED:.0f}: free some."
    return ""


def loads(library):
    # type: (str) -> bool
    """Whether this machine has a shared library."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def main():
    # type: () -> int
    modules = {name: importlib.util.find_spec(name) is not None for name in ("venv", "ensurepip")}
    free = shutil.disk_usage(".").free / 2**30
    found = problem(sys.version_info[:2], sys.platform, modules, loads("libgomp.so.1"), free)
    if found:
        sys.stderr.write(found + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
