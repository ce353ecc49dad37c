"""Sandboxes for code that nobody trusts. Nothing contributed ever runs outside one."""

from graders.sandbox.base import (
    Ending,
    EndReason,
    Limits,
    Mount,
    Running,
    Sandbox,
    SandboxGone,
    SandboxUnavailable,
    Shortfall,
    Spec,
)
from graders.sandbox.offers import Offer, offer

__all__ = [
    "EndReason",
    "Ending",
    "Limits",
    "Mount",
    "Offer",
    "Running",
    "Sandbox",
    "SandboxGone",
    "SandboxUnavailable",
    "Shortfall",
    "Spec",
    "offer",
]
