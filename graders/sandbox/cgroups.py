"""Control groups for one run, version 1 or 2, wherever this process may make them."""

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator, Set
from dataclasses import dataclass
from pathlib import Path

from graders.sandbox.base import SOCKETS_MB, Limits, Shortfall

CONTROLLERS = ("memory", "pids", "cpu")
PREFIX = "practicum-"
CONTAINER = re.compile("[0-9a-f]{64}")
PERIOD_US = 100_000
# Version 1 counts what sockets hold apart from other memory: TCP and, despite the name, UDP.
SOCKETS_FILE = "memory.kmem.tcp.limit_in_bytes"
UNCOUNTED_SOCKETS = Shortfall(
    "what the sockets of a run hold is not limited",
    "boot with cgroup version 2 (systemd.unified_cgroup_hierarchy=1)",
)
SWAP_FILES = ("memory.swap.max", "memory.memsw.limit_in_bytes")
UNLIMITED_SWAP = Shortfall(
    "swap is not limited, so a run may use more than its memory",
    "boot with swapaccount=1, or use no swap",
)


@dataclass(frozen=True)
class Hierarchy:
    """A mounted cgroup tree: where it is, our place in it, the controllers it offers."""

    mount: Path
    own: Path
    controllers: frozenset[str]
    version: int


def hierarchies(proc: Path = Path("/proc/self")) -> list[Hierarchy]:
    """Every mounted tree that this process is in, from its mountinfo and cgroup files."""
    own: dict[str, str] = {}
    for line in (proc / "cgroup").read_text().splitlines():
        _, listed, path = line.split(":", 2)
        own |= dict.fromkeys(listed.split(","), path)
    found = []
    for line in (proc / "mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = right.split(" ", 2)
        root, mount = left.split()[3:5]
        if kind == "cgroup2" and "" in own:
            place = _place(Path(mount), root, own[""])
            offered = _words(Path(mount) / "cgroup.controllers")
            found.append(Hierarchy(Path(mount), place, offered, 2))
        elif kind == "cgroup":
            names = frozenset(options.split(",")) & own.keys()
            for path in {own[name] for name in names}:
                found.append(Hierarchy(Path(mount), _place(Path(mount), root, path), names, 1))
    return found


def remove_abandoned(parent: str, known: Set[str], age: float) -> int:
    """Remove the empty groups of containers below `parent` that are not `known` and `age` seconds
    old: what a container daemon left that died with its containers. Returns how many containers
    they were of."""
    removed = set()
    for tree in hierarchies():
        for folder in (tree.mount / parent).glob("*"):
            if not CONTAINER.fullmatch(folder.name) or folder.name in known:
                continue
            # The kernel refuses while a process is in it, whoever's it is.
            with contextlib.suppress(OSError):
                if time.time() - folder.stat().st_mtime > age:
                    folder.rmdir()
                    removed.add(folder.name)
    return len(removed)


def _place(mount: Path, root: str, path: str) -> Path:
    inside = os.path.relpath(path, root) if root != "/" else path.lstrip("/")
    return mount if inside.startswith("..") else mount / inside


def _words(path: Path) -> frozenset[str]:
    try:
        return frozenset(path.read_text().split())
    except OSError:
        return frozenset()


@dataclass(frozen=True)
class Group:
    """The cgroups of one run: a folder for each controller, the same one under version 2."""

    folders: dict[str, Path]

    @property
    def procs_files(self) -> list[str]:
        """Files a process writes "0" to in order to join."""
        return [str(folder / "cgroup.procs") for folder in sorted(set(self.folders.values()))]

    def limit(self, limits: Limits) -> None:
        """Write the limits; OSError where the kernel refuses one."""
        for controller, folder in self.folders.items():
            for name, value in _settings(controller, limits):
                if (folder / name).exists():
                    (folder / name).write_text(value)

    def oom_killed(self) -> bool:
        """Whether the kernel killed anything inside for want of memory."""
        folder = self.folders.get("memory")
        return folder is not None and any(
            line.startswith("oom_kill ") and line.split()[1] != "0"
            for name in ("memory.events", "memory.oom_control")
            for line in _lines(folder / name)
        )

    def peak_mb(self) -> float | None:
        """The most memory used at once, in MiB; None where nothing measured it."""
        folder = self.folders.get("memory")
        return peak_mb(folder) if folder else None

    def kill(self) -> None:
        """Kill whatever is left inside."""
        for file in self.procs_files:
            for pid in _lines(Path(file)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)

    def remove(self, patience: float = 5.0) -> bool:
        """Kill and remove; the kernel may need a moment after the last process died."""
        until = time.monotonic() + patience
        left = set(self.folders.values())
        while left:
            self.kill()
            left = {folder for folder in left if not _rmdir(folder)}
            if left and time.monotonic() > until:
                return False
            if left:
                time.sleep(0.005)
        return True


def peak_mb(folder: Path) -> float | None:
    """Peak memory of the cgroup at `folder` in MiB, or None."""
    for name in ("memory.peak", "memory.max_usage_in_bytes"):
        for line in _lines(folder / name):
            return int(line) / (1 << 20)
    return None


def bound_sockets(folder: Path) -> None:
    """Make the memory cgroup of a container that is about to start, where that is possible, and
    limit what its sockets hold: runc cannot, and sockets made before the limit escape it."""
    if (folder.parent.parent / SOCKETS_FILE).exists():
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True)
            (folder / SOCKETS_FILE).write_text(str(SOCKETS_MB << 20))


def sockets_count(trees: list[Hierarchy]) -> bool:
    """Whether what sockets hold counts as memory (version 2), or can be limited by this process."""
    return not any(
        tree.version == 1 and not os.access(tree.mount / SOCKETS_FILE, os.W_OK)
        for tree in trees
        if "memory" in tree.controllers
    )


def _settings(controller: str, limits: Limits) -> Iterator[tuple[str, str]]:
    size = str(limits.memory_mb << 20)
    quota = str(max(1000, int(limits.cpus * PERIOD_US)))
    if controller == "memory":
        yield from (("memory.max", size), ("memory.swap.max", "0"))
        yield from (("memory.limit_in_bytes", size), ("memory.memsw.limit_in_bytes", size))
        yield SOCKETS_FILE, str(SOCKETS_MB << 20)
    elif controller == "pids":
        yield "pids.max", str(limits.pids)
    else:
        yield "cpu.max", f"{quota} {PERIOD_US}"
        yield from (("cpu.cfs_period_us", str(PERIOD_US)), ("cpu.cfs_quota_us", quota))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _rmdir(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


class Cgroups:
    """Makes groups called `practicum-OWNER-NAME` below the nearest place that allows it."""

    def __init__(self, owner: str, trees: list[Hierarchy] | None = None) -> None:
        self._prefix = f"{PREFIX}{owner}-"
        self._parents: dict[str, Path] = {}
        self._limits_swap = False
        self._trees = hierarchies() if trees is None else trees
        for tree in self._trees:
            wanted = {name for name in CONTROLLERS if name in tree.controllers}
            if wanted and (parent := self._parent(tree, wanted)):
                self._parents |= dict.fromkeys(wanted & _granted(parent, tree), parent)

    @property
    def missing(self) -> list[str]:
        """Controllers that cannot be used here."""
        return [name for name in CONTROLLERS if name not in self._parents]

    def shortfalls(self) -> list[Shortfall]:
        """What the controllers that can be used here still cannot do."""
        if "memory" in self.missing:
            return []
        found = [] if sockets_count(self._trees) else [UNCOUNTED_SOCKETS]
        return found if self._limits_swap else [*found, UNLIMITED_SWAP]

    def create(self, name: str, limits: Limits) -> Group:
        """A fresh, limited group; what an earlier run left under that name is removed first."""
        group = self.group(name)
        group.remove()
        for folder in set(group.folders.values()):
            folder.mkdir()
        group.limit(limits)
        return group

    def group(self, name: str) -> Group:
        """The group of that name, whether or not it exists."""
        return Group({c: p / f"{self._prefix}{name}" for c, p in self._parents.items()})

    def names(self) -> set[str]:
        """Names of the groups of this owner that exist now."""
        found = (folder.glob(f"{self._prefix}*") for folder in set(self._parents.values()))
        return {path.name.removeprefix(self._prefix) for paths in found for path in paths}

    def _parent(self, tree: Hierarchy, wanted: set[str]) -> Path | None:
        """Our own group or the nearest above it where a child gets what is wanted."""
        place = tree.own
        while True:
            if self._allows(place, tree, wanted):
                return place
            if place == tree.mount or tree.mount not in place.parents:
                return None
            place = place.parent

    def _allows(self, place: Path, tree: Hierarchy, wanted: set[str]) -> bool:
        trial = place / f"{self._prefix}trial-{os.getpid()}"
        try:
            if tree.version == 2 and not _enable(place, wanted):
                return False
            trial.mkdir()
        except OSError:
            return False
        if "memory" in wanted:
            self._limits_swap = any((trial / name).exists() for name in SWAP_FILES)
        _rmdir(trial)
        return os.access(place / "cgroup.procs", os.W_OK)


def _enable(place: Path, wanted: set[str]) -> bool:
    """Hand the controllers to children of `place`; False where it has none of them itself."""
    control = place / "cgroup.subtree_control"
    offered = wanted & _words(place / "cgroup.controllers")
    for name in sorted(offered - _words(control)):
        control.write_text(f"+{name}")
    return bool(offered)


def _granted(parent: Path, tree: Hierarchy) -> frozenset[str]:
    return tree.controllers if tree.version == 1 else _words(parent / "cgroup.subtree_control")
