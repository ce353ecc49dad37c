"""Every fault there is, and the order in which a run injects them."""

import random
import time
from collections.abc import Sequence

from tests.faults import break_engines, break_uploads, break_workers
from tests.faults.clients import Upload
from tests.faults.report import say
from tests.faults.scene import Fault, Scene

WORKER_FAULTS: dict[str, Fault] = {
    "worker killed before start": break_workers.killed_before_start,
    "worker killed mid-run": break_workers.killed_mid_run,
    "worker killed before ack": break_workers.killed_before_ack,
    "pool process killed": break_workers.pool_child_killed,
    "sandbox killed from outside": break_workers.sandbox_killed,
    "worker frozen past its lease": break_workers.frozen_past_its_lease,
    "worker told to stop (deploy)": break_workers.deployed,
}
UPLOAD_FAULTS: dict[str, Fault] = {
    "store's disk full": break_uploads.store_full,
    "upload folder's disk full": break_uploads.temporary_folder_full,
    "one version from 20 clients": break_uploads.one_version_at_once,
    "20 contents under one number": break_uploads.one_number_at_once,
    "double click": break_uploads.double_click,
    "site killed mid-upload": break_uploads.site_killed,
}


BACKLOG = 40  # versions without an outcome
CATCH_UP_S = 60.0
OPEN = "SELECT 1 FROM environments_version WHERE status NOT IN ('evaluated', 'failed')"
LOSE_MESSAGES = ("worker", "broker", "pool")


def plan(
    chosen: random.Random, times: int, *, only: str, with_docker: bool
) -> list[tuple[str, Fault]]:
    """Every fault whose name has `only` in it, `times` times, in an order the seed decides.

    If each comes once, those that lose messages come first: a sweeper finds out a minute later,
    and the others fill that minute.
    """
    every = WORKER_FAULTS | UPLOAD_FAULTS | break_engines.FAULTS
    if with_docker:
        every |= break_engines.DOCKER_FAULTS
    order = []
    for _ in range(times):
        turn = [(name, fault) for name, fault in every.items() if only in name]
        chosen.shuffle(turn)
        order += turn
    if times == 1:
        order.sort(key=lambda item: not any(word in item[0] for word in LOSE_MESSAGES))
    return order


def inject(scene: Scene, order: Sequence[tuple[str, Fault]], uploads: Sequence[Upload]) -> None:
    """Injects the faults one after the other, while people upload at the same pace."""
    released = 0
    for done, (name, fault) in enumerate(order, start=1):
        share = len(uploads) * done // len(order)
        scene.crowd.release(uploads[released:share])
        released = share
        # Faults are for a system at work: they go no faster than it does.
        scene.wait(lambda: len(scene.world.rows(OPEN) or []) <= BACKLOG, CATCH_UP_S)
        scene.world.pause(scene.random.uniform(0, 1))
        begun = time.monotonic()
        met = fault(scene)
        scene.seen[name][met] += 1
        say(f"[{done}/{len(order)}, {time.monotonic() - begun:.1f} s] {name}: {met}")
