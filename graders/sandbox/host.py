"""What weakens every sandbox of a host and only its operator can change."""

from collections.abc import Iterator
from pathlib import Path

from graders.sandbox.base import Shortfall


def shortfalls(
    uids: range, *, proc: Path = Path("/proc"), etc: Path = Path("/etc")
) -> list[Shortfall]:
    """What is wrong here for runs that get `uids`; an empty range where they get none."""
    return [*_core_dumps(proc), *_taken(uids, etc)]


def _core_dumps(proc: Path) -> Iterator[Shortfall]:
    pattern = _text(proc / "sys/kernel/core_pattern").strip()
    if pattern.startswith(("|", "@")):
        yield Shortfall(
            f"a crash inside hands its memory to a program of the host ({pattern.split()[0]}), "
            "which no limit of a run holds back",
            "set kernel.core_pattern to a plain file name, such as `core`",
        )


def _taken(uids: range, etc: Path) -> Iterator[Shortfall]:
    """Accounts, and ranges handed out for rootless containers, that reach into ours."""
    for file, size_at, name in (("passwd", None, "account"), ("subuid", 2, "subordinate uids of")):
        for line in _text(etc / file).splitlines():
            fields = line.split(":")
            first, size = _number(fields, 2 if size_at is None else 1), _number(fields, size_at)
            if uids and first < uids.stop and first + size > uids.start:
                yield Shortfall(
                    f"runs share uids with {name} {fields[0]!r} of this host, and so its limits "
                    f"on processes and files: runs get {uids.start} to {uids.stop - 1}",
                    f"move that account's entry in {etc / file}",
                )


def _number(fields: list[str], at: int | None) -> int:
    """A field as a number; 1 where there is none of that kind, 0 for nonsense."""
    if at is None:
        return 1
    return int(fields[at]) if len(fields) > at and fields[at].isdigit() else 0


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
