"""One uid for one running job, across all processes of this host.

A slot is a locked file: the kernel drops the lock with its process, however that died, so a free
lock also says that a slot's worker is gone.
"""

import fcntl
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from graders.sandbox.base import SandboxUnavailable

SLOTS = 256
# Below systemd's range for containers; each state folder gets one of these blocks of SLOTS uids, so
# that two installations on one host hardly ever share one.
FIRST_UID = 200_000
BLOCKS = 1024


@dataclass
class Slot:
    """A held slot. `uid` (also its gid) belongs to nobody else until `release`."""

    number: int
    uid: int
    fd: int

    def release(self) -> None:
        """Give the slot back. Safe to repeat."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Slots:
    """The slots kept under one state folder."""

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir / "slots"
        self._folder.mkdir(parents=True, exist_ok=True)
        # Names what belongs to this folder in labels and cgroups, without showing its path.
        self.owner = hashlib.sha256(os.fsencode(self._folder.resolve())).hexdigest()[:12]
        self.first_uid = FIRST_UID + SLOTS * (int(self.owner, 16) % BLOCKS)
        self.uids = range(self.first_uid, self.first_uid + SLOTS)

    def take(self) -> Slot:
        """The lowest free slot; raises SandboxUnavailable when all are held."""
        for number in range(SLOTS):
            if slot := self.try_take(number):
                return slot
        raise SandboxUnavailable(
            f"all {SLOTS} sandbox slots of this host are busy: lower the workers' concurrency"
        )

    def try_take(self, number: int) -> Slot | None:
        """That slot, or None where somebody holds it."""
        fd = os.open(self._folder / str(number), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        return Slot(number, self.first_uid + number, fd)
