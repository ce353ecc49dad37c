"""Which tasks of an environment are measured, and with which seeds. Pure."""

import hashlib
import random


def order(task_count: int | None, wanted: int, digest: str) -> list[int]:
    """The first `wanted` tasks in this version's order.

    An endless environment (`task_count` None) is sampled at 0..wanted-1. Of a finite one a sample
    without replacement is taken that depends on the version's digest alone; if it has no more
    than `wanted`, all are taken.
    """
    if task_count is None:
        return list(range(wanted))
    return random.Random(digest).sample(range(task_count), min(wanted, task_count))  # noqa: S311


def seed(digest: str, task: int, number: int) -> int:
    """The seed of one rollout: the same for the same version, task and number; below 2**31."""
    text = f"{digest}:{task}:{number}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:4]) >> 1
