"""Everything that bundles are made of, by digest, on this worker's disk and within a budget.

    files/SHA256       downloads and data, as they came
    wheels/SHA256/     unpacked wheels, read-only
    bundles/DIGEST/    what a sandbox mounts: the project, and hard links into wheels/ and files/

Only workers write here; a sandbox sees one bundle, mounted read-only. Everything appears whole,
by a rename, and can be made again, so what was used least recently is dropped when the budget is
spent. Who uses an entry holds a lock on it, and what is held stays.
"""

import errno
import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from graders.errors import PlatformFault

KINDS = ("files", "wheels", "bundles")
SCRATCH = ".new-"
SCRATCH_AGE_S = 60.0  # far longer than it takes to lock a folder that was just made
READ_ONLY = 0o444
BLOCK = 512  # bytes, of `st_blocks`
_TRY = fcntl.LOCK_EX | fcntl.LOCK_NB


class Store:
    """The store under `root`, shared by all workers of a host. `budget` is in bytes.

    Entries are made where they are missing, and held as long as their context lasts. Raises
    PlatformFault where the disk fails.
    """

    def __init__(self, root: Path, budget: int) -> None:
        self._root = root
        self._budget = budget

    def download(
        self, sha256: str, chunks: Callable[[], Iterable[bytes]]
    ) -> AbstractContextManager[Path]:
        """The file with that digest, written from `chunks()`; PlatformFault for other bytes."""

        def make(path: Path) -> None:
            if _write(path, chunks()) != sha256:
                raise PlatformFault(f"The file {sha256[:12]}… came with other bytes.")

        return self._entry("files", sha256, make)

    @contextmanager
    def new(self, chunks: Iterable[bytes]) -> Iterator[tuple[str, Path]]:
        """A file of those bytes, whose digest is only known when the last has come."""
        with self._scratch(self._folder("files")) as scratch:
            with _failures():
                sha256 = _write(scratch / "new", chunks)

            def make(path: Path) -> None:
                (scratch / "new").rename(path)

            with self._entry("files", sha256, make) as path:
                yield sha256, path

    def wheel(self, sha256: str, unpack: Callable[[Path], None]) -> AbstractContextManager[Path]:
        """The unpacked wheel with that digest; `unpack` fills a path that does not exist."""
        return self._entry("wheels", sha256, unpack)

    @contextmanager
    def bundle(self, digest: str, fill: Callable[[Path], None]) -> Iterator[Path]:
        """The bundle of that name; `fill` fills a path that does not exist."""
        fresh = not (self._root / "bundles" / digest).exists()
        with self._entry("bundles", digest, fill) as path:
            if fresh:
                self.trim()
            yield path

    def trim(self) -> int:
        """Drop what was used least recently until the budget holds. Returns the bytes in use."""
        self._clear_scratch()
        used = _size(_everything(self._root))
        if used > self._budget:
            # What a bundle links to frees nothing, so it goes only after the bundle.
            for entry in self._by_use() * 2:
                if used <= self._budget:
                    break
                used -= self._drop(entry)
        return used

    def _by_use(self) -> list[Path]:
        """All entries, the one that was used least recently first."""
        found = []
        for kind in KINDS:
            for path in self._folder(kind).iterdir():
                with suppress(FileNotFoundError):
                    if path.name[0] != ".":
                        found.append((path.lstat().st_mtime, path))
        return [path for _, path in sorted(found)]

    def _drop(self, entry: Path) -> int:
        """Remove one entry unless it is held or linked; the bytes that this set free."""
        with _locked(entry, _TRY) as free:
            found = list(_everything(entry)) if free else []
            alone = [status for status in found if not _is_linked(status)]
            if not found or (entry.parent.name != "bundles" and len(alone) < len(found)):
                return 0
            with self._scratch(entry.parent) as scratch:
                entry.rename(scratch / "dropped")
        return _size(alone)

    @contextmanager
    def _entry(self, kind: str, digest: str, make: Callable[[Path], None]) -> Iterator[Path]:
        path = self._root / kind / digest
        while True:
            if not path.exists():
                self._make(path, make)
            with _locked(path, fcntl.LOCK_SH) as ours:
                if ours:  # else it was dropped while we waited
                    os.utime(path)
                    yield path
                    return

    def _make(self, path: Path, make: Callable[[Path], None]) -> None:
        with _failures(), self._scratch(self._folder(path.parent.name)) as scratch:
            make(scratch / "made")
            _settle(scratch / "made", path)

    @contextmanager
    def _scratch(self, folder: Path) -> Iterator[Path]:
        scratch = Path(tempfile.mkdtemp(prefix=SCRATCH, dir=folder))
        try:
            with _locked(scratch, fcntl.LOCK_SH):
                yield scratch
        finally:
            _remove(scratch)

    def _folder(self, kind: str) -> Path:
        folder = self._root / kind
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def _clear_scratch(self) -> None:
        """What killed workers were making."""
        for kind in KINDS:
            for path in self._folder(kind).glob(f"{SCRATCH}*"):
                # It may go at any time: its maker removes it after letting go of the lock.
                with suppress(FileNotFoundError), _locked(path, _TRY) as free:
                    if free and time.time() - path.stat().st_mtime > SCRATCH_AGE_S:
                        _remove(path)


def _write(path: Path, chunks: Iterable[bytes]) -> str:
    """Write a file that any sandbox may read; its SHA-256."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for chunk in chunks:
            digest.update(chunk)
            file.write(chunk)
    path.chmod(READ_ONLY)
    return digest.hexdigest()


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PlatformFault(f"The worker's store failed: {error.strerror or error}") from error


@contextmanager
def _locked(path: Path, how: int) -> Iterator[bool]:
    """Lock a file or folder itself. False if it is gone, or if others hold it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield False
        return
    try:
        yield _lock(descriptor, path, how)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how)
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False


def _settle(made: Path, final: Path) -> None:
    try:
        made.rename(final)
    except OSError as error:
        # Another worker was faster; what it made is the same.
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def _everything(top: Path) -> Iterator[os.stat_result]:
    """The status of a file or folder, and of all that is in it."""
    left = [os.fspath(top)]
    with suppress(FileNotFoundError):
        yield top.lstat()
    while left:
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(left.pop()) as found:
            for entry in found:
                with suppress(FileNotFoundError):
                    yield entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    left.append(entry.path)


def _is_linked(status: os.stat_result) -> bool:
    """Whether a file has another name, which may be in another entry."""
    return status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode)


def _size(found: Iterable[os.stat_result]) -> int:
    """Bytes on the disk, each file once however many names it has."""
    seen, used = set(), 0
    for status in found:
        if _is_linked(status):
            if status.st_ino in seen:
                continue
            seen.add(status.st_ino)
        used += status.st_blocks * BLOCK
    return used


def _remove(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
