"""Attacks on a sandbox. This folder is mounted inside, so it uses the standard library only."""

from . import calls, devices, files, kernel, leaks, network, privileges, processes
from .harness import ATTACKS

__all__ = [
    "ATTACKS",
    "calls",
    "devices",
    "files",
    "kernel",
    "leaks",
    "network",
    "privileges",
    "processes",
]
