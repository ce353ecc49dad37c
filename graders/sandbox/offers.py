"""Which sandboxes there are here: one driver, and a sandbox for each Python that it has."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from graders.sandbox import interpreters
from graders.sandbox.base import Sandbox, SandboxUnavailable
from graders.sandbox.bubblewrap import Bubblewrap
from graders.sandbox.docker import Docker

DRIVERS = ("docker", "bubblewrap")


class Offer:
    """A driver's sandboxes by the minor version of their Python ("3.11"), the default first.

    `versions` has the whole version of each. The default has run a command here; the others are
    made when they are first asked for.
    """

    def __init__(
        self, driver: str, versions: Mapping[str, str], make: Callable[[str], Sandbox]
    ) -> None:
        self.driver = driver
        self.versions = versions
        self.pythons = tuple(versions)
        self._make = make
        self._made: dict[str, Sandbox] = {}
        self.default = self.sandbox(self.pythons[0])

    def sandbox(self, python: str) -> Sandbox:
        """The sandbox with that Python. Raises KeyError for one that is not offered,
        SandboxUnavailable for one that does not run."""
        if python not in self._made:
            made = self._make(python)
            assert made.python  # it has run
            self._made[python] = made
        return self._made[python]


def offer(
    driver: str,
    *,
    images: Sequence[str],
    state_dir: Path,
    docker_runtime: str | None = None,
    pythons: Sequence[Path] = (),
) -> Offer:
    """The sandboxes of `driver`.

    `driver` is "docker", "bubblewrap", or "auto": Docker where its daemon answers and has the
    images, else bubblewrap. `images` are Docker's, one for each Python; `pythons` are the
    interpreters for bubblewrap (empty: those found). `state_dir` keeps uid slots and bubblewrap's
    roots; all workers of a host share it. Raises SandboxUnavailable with every reason when none
    works, ValueError for another driver.
    """
    makers: dict[str, Callable[[], Offer]] = {
        "docker": lambda: _docker(images, state_dir, docker_runtime),
        "bubblewrap": lambda: _bubblewrap(state_dir, pythons),
    }
    if driver not in (*makers, "auto"):
        raise ValueError(f"sandbox driver {driver!r} is not one of: auto, {', '.join(makers)}")
    reasons = []
    for name in makers if driver == "auto" else [driver]:
        try:
            return makers[name]()
        except SandboxUnavailable as error:
            reasons.append(f"{name}: {error}")
    raise SandboxUnavailable("no sandbox can be used. " + "; ".join(reasons))


def _docker(images: Sequence[str], state_dir: Path, runtime: str | None) -> Offer:
    made: dict[str, Sandbox] = {}
    for image in images:
        sandbox = Docker(image, state_dir, runtime)
        made.setdefault(interpreters.minor(sandbox.python), sandbox)
    if not made:
        raise SandboxUnavailable("no image is named: set SANDBOX_IMAGES")
    versions = {python: sandbox.python for python, sandbox in made.items()}
    return Offer("docker", versions, made.__getitem__)


def _bubblewrap(state_dir: Path, pythons: Sequence[Path]) -> Offer:
    try:
        found = interpreters.find(pythons)
    except OSError as error:
        raise SandboxUnavailable(f"an interpreter cannot be used: {error}") from error
    versions = {python: one.version for python, one in found.items()}
    return Offer("bubblewrap", versions, lambda python: Bubblewrap(state_dir, found[python]))
