"""A version's data: fetched or handed over at its build, linked into its bundles, kept for good.

It is kept last, when all else of the build went well, so that a failure leaves nothing behind.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from graders.bundling.limits import MIB, BuildLimits
from graders.bundling.lock import DataFile
from graders.bundling.origin import Origin, shown
from graders.bundling.stock import Kept
from graders.bundling.store import Store
from graders.errors import EnvironmentFault, PlatformFault


class Room:
    """What a version's data may still take. Raises EnvironmentFault beyond it.

    `left` are the bytes that are left of its owner's storage, None without a limit.
    """

    def __init__(
        self, limits: BuildLimits, left: int | None, taken: Iterable[DataFile] = ()
    ) -> None:
        self._limits = limits
        self._left = left
        self._files = self._bytes = 0
        for file in taken:
            self.take(file.path, file.size)

    def take(self, path: str, size: int) -> None:
        """Count a file, before its bytes have come."""
        limits = self._limits
        self._files, self._bytes = self._files + 1, self._bytes + size
        if size > limits.data_file_mb * MIB:
            raise EnvironmentFault(
                f"The data file {path!a} has more than {limits.data_file_mb} MiB. Split it, or use "
                "less of it."
            )
        if self._files > limits.data_files or self._bytes > limits.data_mb * MIB:
            raise EnvironmentFault(
                f"The data is more than {limits.data_mb} MiB or {limits.data_files} files. "
                "Use less of it, or pack many files into one."
            )
        if self._left is not None and self._bytes > self._left:
            raise EnvironmentFault(
                f"The data has more than the {max(0, self._left) // MIB} MiB that are left of its "
                "owner's storage. Use less of it, or ask an administrator for more room."
            )


@dataclass(frozen=True)
class Depot:
    """A host's store, and the storage that holds data for good. Raises PlatformFault.

    `left` is as in `Room`.
    """

    store: Store
    kept: Kept
    limits: BuildLimits
    left: int | None = None

    def fetch(
        self, declared: Sequence[Mapping[str, str]], origin: Origin, check: Callable[[], None]
    ) -> list[DataFile]:
        """Fetch the declared files (`url`, `sha256`, `path`) into the store.

        Always from where they are declared to be: who knows only a digest gets nothing by it.
        Raises EnvironmentFault for other bytes, too large a file, and what `origin` raises.
        """
        found: list[DataFile] = []
        for one in declared:
            check()
            chunks = self._metered(one["path"], origin.content(one["url"]), found, check)
            found.append(self.take(one["path"], chunks, one))
        return found

    def take(
        self, path: str, chunks: Iterable[bytes], declared: Mapping[str, str] | None = None
    ) -> DataFile:
        """Take a file into the store. Raises EnvironmentFault if it is not the declared one."""
        with self.store.new(chunks) as (sha256, held):
            if declared and sha256 != declared["sha256"]:
                raise EnvironmentFault(
                    f"{shown(declared['url'])} has other bytes than the sha256 says: it is "
                    f"{sha256}. Correct it, or name an address whose content does not change."
                )
            size = held.stat().st_size
        return DataFile(path, sha256, size, declared["url"] if declared else None)

    def link(self, files: Sequence[DataFile], folder: Path, check: Callable[[], None]) -> None:
        """Link the files below a new folder."""
        folder.mkdir(mode=0o755)
        for file, path in self._held(files, check):
            target = folder / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, target)

    def keep(self, files: Sequence[DataFile], check: Callable[[], None]) -> None:
        """Keep the files for good."""
        for file, path in self._held(files, check):
            with path.open("rb") as content:
                self.kept.put(file.sha256, content)

    def _held(
        self, files: Sequence[DataFile], check: Callable[[], None]
    ) -> Iterator[tuple[DataFile, Path]]:
        """Each file and where it lies, held until the next."""
        for file in files:
            check()
            with self.store.download(file.sha256, partial(self._stored, file)) as path:
                yield file, path

    def _metered(
        self,
        path: str,
        chunks: Iterable[bytes],
        beside: Sequence[DataFile],
        check: Callable[[], None],
    ) -> Iterator[bytes]:
        """The chunks, as long as they have room beside other files."""
        size = 0
        for chunk in chunks:
            check()
            size += len(chunk)
            Room(self.limits, self.left, beside).take(path, size)
            yield chunk

    def _stored(self, file: DataFile) -> Iterable[bytes]:
        try:
            return self.kept.get(file.sha256)
        except FileNotFoundError as error:
            raise PlatformFault(
                f"The data file {file.path!a} is missing from the storage."
            ) from error
