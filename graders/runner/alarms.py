"""Signals in contributed code, which runs outside the main thread here.

Graders set an alarm to bound their own work, and Python lets only the main thread set one: what
works in a script would fail in here, or earn 0 where the failure is swallowed. So outside the main
thread these calls do nothing; a call into the environment that takes too long is interrupted
anyway.
"""

import signal
import threading
from collections.abc import Callable
from functools import wraps
from typing import Any


def mute() -> None:
    """Let threads other than the main one set handlers and alarms without effect."""
    signal.signal = _muted(signal.signal, signal.SIG_DFL)
    signal.alarm = _muted(signal.alarm, 0)
    signal.setitimer = _muted(signal.setitimer, (0.0, 0.0))


def _muted(call: Callable[..., Any], nothing: Any) -> Callable[..., Any]:
    @wraps(call)
    def called(*args: Any) -> Any:
        is_main = threading.current_thread() is threading.main_thread()
        return call(*args) if is_main else nothing

    return called
