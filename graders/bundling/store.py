"""Everything that bundles are made of, by digest, on this worker's disk and within a budget.

    files/SHA256       downloads, as they came
    wheels/SHA256/     unpacked wheels, read-only
    bundles/DIGEST/    what a sandbox mounts: the project, and hard links into wheels/

Only workers write here; a sandbox sees one bundle, mounted read-only. Everything appears whole,
by a rename, and can be made again, so what was used least recently is dropped when the budget is
spent. A bundle that is `held` stays.
"""

import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from graders.errors import PlatformFault

KINDS = ("files", "wheels", "bundles")
SCRATCH_AGE_S = 6 * 3600.0  # nothing is in the making for longer


class Store:
    """The store under `root`, shared by all workers of a host. `budget` is in bytes."""

    def __init__(self, root: Path, budget: int) -> None:
        self._root = root
        self._budget = budget

    def download(self, sha256: str, chunks: Callable[[], Iterable[bytes]]) -> Path:
        """The file with that digest, written from `chunks()` if it is not there.

        Raises PlatformFault if they are other bytes, or the disk is full.
        """

        def make(path: Path) -> None:
            digest = hashlib.sha256()
            with path.open("wb") as file:
                for chunk in chunks():
                    digest.update(chunk)
                    file.write(chunk)
            if digest.hexdigest() != sha256:
                raise PlatformFault("A download is not what was asked for.")

        return self._entry("files", sha256, make)

    def wheel(self, sha256: str, unpack: Callable[[Path], None]) -> Path:
        """The unpacked wheel with that digest; `unpack` fills a path that does not exist."""
        return self._entry("wheels", sha256, unpack)

    @contextmanager
    def bundle(self, digest: str, fill: Callable[[Path], None]) -> Iterator[Path]:
        """The bundle of that name, held as long as the context lasts."""
        lock = self._folder("bundles") / f".{digest}.lock"
        while True:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH)
                if not _is_current(descriptor, lock):
                    continue  # the bundle was dropped, lock and all, while we waited
                fresh = not (self._folder("bundles") / digest).exists()
                path = self._entry("bundles", digest, fill)
                if fresh:
                    self.trim()
                yield path
                return
            finally:
                os.close(descriptor)

    def trim(self) -> int:
        """Drop what was used least recently until the budget holds. Returns the bytes in use."""
        self._clear_scratch()
        used = sum(_blocks(path) for path in _files(self._root))
        entries = sorted(
            (
                path
                for kind in KINDS
                for path in self._folder(kind).iterdir()
                if path.name[0] != "."
            ),
            key=lambda path: path.lstat().st_mtime,
        )
        for entry in entries:
            if used <= self._budget:
                break
            used -= self._drop(entry)
        return used

    def _drop(self, entry: Path) -> int:
        """Remove one entry unless it is held; the bytes that this set free."""
        lock = entry.with_name(f".{entry.name}.lock")
        with _exclusively(lock if entry.parent.name == "bundles" else None) as free:
            if not free:
                return 0
            # Files that are linked elsewhere stay on the disk.
            freed = sum(_blocks(path) for path in _files(entry) if path.lstat().st_nlink == 1)
            _remove(entry)
            lock.unlink(missing_ok=True)
        return freed

    def _entry(self, kind: str, digest: str, make: Callable[[Path], None]) -> Path:
        final = self._folder(kind) / digest
        with suppress(FileNotFoundError):
            os.utime(final)
            return final
        scratch = Path(tempfile.mkdtemp(prefix=".new-", dir=self._folder(kind)))
        try:
            make(scratch / "made")
            with suppress(OSError):  # another worker was faster; what it made is the same
                (scratch / "made").rename(final)
            os.utime(final)
        except OSError as error:
            raise PlatformFault(f"The worker's store failed: {error.strerror or error}") from error
        finally:
            _remove(scratch)
        return final

    def _folder(self, kind: str) -> Path:
        folder = self._root / kind
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def _clear_scratch(self) -> None:
        """What a killed worker was making."""
        for kind in KINDS:
            for path in self._folder(kind).glob(".new-*"):
                with suppress(FileNotFoundError):
                    if time.time() - path.stat().st_mtime > SCRATCH_AGE_S:
                        _remove(path)


@contextmanager
def _exclusively(lock: Path | None) -> Iterator[bool]:
    """Whether nobody holds the lock, which is then ours; True without one."""
    if lock is None:
        yield True
        return
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(descriptor)


def _is_current(descriptor: int, lock: Path) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), lock.stat())
    return False


def _files(top: Path) -> Iterator[Path]:
    """Every file under `top`, or `top` itself, each inode once."""
    seen = set()
    found: Iterable[Path] = [top] if top.is_file() else top.rglob("*")
    for path in found:
        with suppress(FileNotFoundError):
            status = path.lstat()
            if not path.is_dir() and status.st_ino not in seen:
                seen.add(status.st_ino)
                yield path


def _blocks(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.lstat().st_blocks * 512
    return 0


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
