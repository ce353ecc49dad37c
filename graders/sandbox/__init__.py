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
from graders.sandbox.offers import Offer, choose, offer

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
    "choose",
    "offer",
]
