"""What every fault gets: the stack, the people who use it, and a place for what went wrong."""

import random
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.faults.clients import Crowd, Site, Upload
from tests.faults.daemon import Daemon
from tests.faults.packages import Maker, Package
from tests.faults.stack import World


@dataclass
class Scene:
    """Where a fault happens. `findings` are violations seen while it did."""

    world: World
    site: Site
    crowd: Crowd
    maker: Maker
    daemon: Daemon | None
    known: list[Upload] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    seen: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    @property
    def random(self) -> random.Random:
        return self.world.random

    def in_somebodys_name(self, package: Package) -> Upload:
        """An upload of this package; remembered, so that its version is expected later."""
        upload = Upload(self.random.choice(sorted(self.world.tokens)), package)
        self.known.append(upload)
        return upload

    def give_work(self) -> None:
        """Lets people upload a little more than was planned, so that workers are busy."""
        self.crowd.release([self.in_somebodys_name(self.maker.one()) for _ in range(3)])

    def expect(self, holds: bool, finding: str) -> None:
        if not holds:
            self.findings.append(finding)

    def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        return self.world.wait(condition, seconds)


# Injects a fault and says in a few words what it met.
Fault = Callable[[Scene], str]
