"""The formats that the hub drives, as far as an upload has to know them.

How a format is driven is its adapter's (graders/runner/formats); a test holds the two to the same.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Format:
    """One format. `package` is the distribution on the package index that it is of, `entry` what is
    called where an upload names nothing of its own, `pins` the requirements that are added to the
    upload's own when they are locked. Each is empty if there is none."""

    name: str
    package: str = ""
    entry: str = ""
    pins: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        """The top-level module of its own entry."""
        return self.entry.partition(":")[0].partition(".")[0]


TABLE: Final = (
    Format("reasoning-gym", "reasoning-gym", "reasoning_gym:create_dataset"),
    # Neither runs on the other's releases.
    Format("verifiers-v0", "verifiers", pins=("verifiers<0.4",)),
    Format("verifiers-v1", "verifiers", pins=("verifiers>=0.4",)),
    Format("gem", "gem-llm", "gem:make"),
    Format("textarena", "textarena", "textarena:make"),
    Format("openenv", "openenv"),
    Format("gymnasium", "gymnasium", "gymnasium:make"),
    Format("skyrl-gym", "skyrl-gym", "skyrl_gym:make"),
    Format("dataset"),
)
FORMATS: Final = tuple(one.name for one in TABLE)
# Those that an upload can use without any code of its own.
LIBRARIES: Final = tuple(one for one in TABLE if one.entry)

_BY_NAME: Final = {one.name: one for one in TABLE}


def named(name: str) -> Format:
    """The format of that name. Raises KeyError."""
    return _BY_NAME[name]


def pins(name: str) -> tuple[str, ...]:
    """The requirements that a format adds to a version's own; none where it is not known yet."""
    return _BY_NAME[name].pins if name in _BY_NAME else ()
