"""Words for a runner that ended before its work was done, and whose fault that is."""

import signal

from graders.errors import EnvironmentFault, GraderError, PlatformFault
from graders.fields import plain
from graders.sandbox.base import Ending, EndReason, Limits

# Killed or told to end by a signal that the worker did not send: the machine's own want of memory,
# a container daemon that stops, an operator. Code can do that to itself too, but who did it cannot
# be told, and in doubt it is not the environment's fault.
FROM_OUTSIDE = {128 + signal.SIGKILL, 128 + signal.SIGTERM}
STDERR_LINES = 20
STDERR_CHARACTERS = 2000


def explain(ending: Ending, limits: Limits, *, ready: bool, model_share: float) -> GraderError:
    """The error to raise for `ending`.

    `ready`: the runner had started, so contributed code may be to blame. `model_share`: the share
    (0 to 1) of the rollouts' time that went into waiting for the model.
    """
    words = _words(ending, limits)
    if ending.reason is EndReason.LOST:
        return PlatformFault(f"The sandbox failed. {_stderr(ending)}".strip())
    if ending.reason is EndReason.EXITED and ending.exit_code in FROM_OUTSIDE:
        return PlatformFault(f"The sandbox was killed from outside (exit code {ending.exit_code}).")
    if not ready:
        return PlatformFault(f"The sandbox could not start the runner: {words}")
    if ending.reason is EndReason.TIMEOUT and model_share > 0.5:
        return PlatformFault(
            f"The time limit of {limits.seconds:g} s passed, most of it waiting for the model."
        )
    return EnvironmentFault(words)


def _words(ending: Ending, limits: Limits) -> str:
    cause = {
        EndReason.EXITED: f"ended by itself (exit code {ending.exit_code}) before it was done",
        EndReason.KILLED: "stopped talking to the worker without ending",
        EndReason.TIMEOUT: f"was not done within {limits.seconds:g} s",
        EndReason.OUT_OF_MEMORY: f"ran out of memory; it may use {limits.memory_mb} MiB",
        EndReason.OUTPUT_LIMIT: f"wrote more than {limits.output_mb} MiB to its output",
        EndReason.LOST: "was lost",
    }[ending.reason]
    return f"The environment's process {cause}. {_stderr(ending)}".strip()


def _stderr(ending: Ending) -> str:
    lines = plain(ending.stderr).strip().splitlines()[-STDERR_LINES:]
    text = "\n".join(lines)[-STDERR_CHARACTERS:]
    return f"Its last lines on standard error:\n{text}" if text else ""
