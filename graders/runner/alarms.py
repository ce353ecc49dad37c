"""Signals in contributed code.

Graders set an alarm to bound their own work. Rollouts share one thread here, so an alarm would hit
whichever runs by then. So what sets one does nothing, but in processes of the grader's own; a call
into the environment that takes too long is interrupted anyway.
"""

import os
import signal
from collections.abc import Callable
from functools import wraps
from typing import Any


def mute() -> None:
    """From now on, let what sets handlers and alarms in this process have no effect."""
    signal.alarm(0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal = _muted(signal.signal, signal.SIG_DFL)
    signal.alarm = _muted(signal.alarm, 0)
    signal.setitimer = _muted(signal.setitimer, (0.0, 0.0))


def _muted(call: Callable[..., Any], nothing: Any) -> Callable[..., Any]:
    process = os.getpid()

    @wraps(call)
    def called(*args: Any) -> Any:
        return nothing if os.getpid() == process else call(*args)

    return called
