"""A C and C++ compiler for build sandboxes: one pinned wheel, fetched when a build first needs it.

The images and roots of sandboxes have none, so that a run finds none. Zig's compiler is one file
beside its libraries, brings the headers of every C library and runs from a read-only mount.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from graders.bundling import picking
from graders.bundling.limits import BuildLimits
from graders.bundling.lock import Locked
from graders.bundling.stock import NotListed, Stock
from graders.errors import EnvironmentFault
from graders.sandbox.base import Mount

MOUNTED = "/opt/zig"
VERSION = "0.15.2"
WHEELS = {
    "x86_64": (
        "806316453d1ede7174ed3fefb8e5348154629089c3bb5fe812dfd0e172fac130",
        "manylinux_2_12_x86_64.manylinux2010_x86_64.musllinux_1_1_x86_64",
    ),
    "aarch64": (
        "edc0aa60ec964a4cf462d40f68d7de242ddf37fd9a80f2afaee6397059463230",
        "manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64",
    ),
}


class NoCompiler(EnvironmentFault):
    """Sources that need a compiler cannot be built here."""


@contextmanager
def mount(stock: Stock, check: Callable[[], None]) -> Iterator[Mount]:
    """What a build sandbox mounts to compile.

    Raises NoCompiler where there is none, PlatformFault where it cannot be had, and what `check`
    raises, which is called all through its download.
    """
    if picking.machine() not in WHEELS:
        raise NoCompiler(f"There is no compiler for {picking.machine()} here.")
    sha256, tags = WHEELS[picking.machine()]
    wheel = Locked("ziglang", VERSION, sha256, f"ziglang-{VERSION}-py3-none-{tags}.whl")
    # Not the version's to pay for: the limits are the usual ones, whatever the operator's are.
    found = replace(stock, limits=BuildLimits()).tree(wheel, check)
    with ExitStack() as held:
        try:
            tree = held.enter_context(found)
        except NotListed as error:
            raise NoCompiler(f"There is no compiler here. {error}") from error
        yield Mount(tree / "ziglang", MOUNTED)


def environment() -> dict[str, str]:
    """What tells build backends to use it."""
    target = f"{picking.machine()}-linux-gnu.2.{picking.GLIBC}"
    # Zig would have undefined behaviour trap, which no other compiler does by default. Debian's
    # Python.h looks for a part of itself in the system's folder of headers.
    options = f"-target {target} -fno-sanitize=undefined -idirafter /usr/include"
    return {
        "CC": f"{MOUNTED}/zig cc {options}",
        "CXX": f"{MOUNTED}/zig c++ {options}",
        "LDSHARED": f"{MOUNTED}/zig cc {options} -shared",
        "AR": f"{MOUNTED}/zig ar",
        "ZIG_GLOBAL_CACHE_DIR": "/tmp/zig",  # noqa: S108 - the sandbox's own
        "ZIG_LOCAL_CACHE_DIR": "/tmp/zig",  # noqa: S108
    }
