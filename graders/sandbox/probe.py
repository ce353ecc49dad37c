"""What every driver checks about itself and about what it is given."""

import stat

from graders.sandbox.base import EndReason, Limits, Sandbox, SandboxUnavailable, Spec

VERSION = "import sys; print('%d.%d.%d' % sys.version_info[:3])"


def ask_python(sandbox: Sandbox, advice: str) -> str:
    """Version of the interpreter inside; the first real run, so it also shows that runs work.

    Raises SandboxUnavailable with what the sandbox said, and the advice, where it does not.
    """
    spec = Spec("probe", ("python3", "-I", "-S", "-c", VERSION), limits=Limits(seconds=60))
    with sandbox.start(spec) as running:
        answer = b"".join(iter(running.receive, b"")).decode("ascii", "replace").strip()
        ending = running.wait()
    if ending.reason is not EndReason.EXITED or ending.exit_code != 0:
        what = f"{ending.reason}, exit code {ending.exit_code}: {ending.stderr.strip()}"
        raise SandboxUnavailable(f"{sandbox.name} does not run here ({what}): {advice}")
    return answer


def check_readable(spec: Spec) -> None:
    """Raise ValueError for a source that a uid of its own could not read."""
    for mount in spec.mounts:
        mode = mount.source.stat().st_mode
        wanted = 0o005 if stat.S_ISDIR(mode) else 0o004
        if mode & wanted != wanted:
            raise ValueError(
                f"mount source {mount.source} is closed to others (mode {mode & 0o777:o}), and "
                "the sandbox runs as another user: chmod o+rX it"
            )
