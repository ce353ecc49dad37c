"""A version's data: fetched or handed over at its build, kept for good, linked into its bundles."""

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
    """What a version's data may still take. Raises EnvironmentFault beyond it."""

    def __init__(self, limits: BuildLimits, taken: Iterable[DataFile] = ()) -> None:
        self._limits = limits
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


@dataclass(frozen=True)
class Depot:
    """A host's store, and the storage that holds data for good. Raises PlatformFault."""

    store: Store
    kept: Kept
    limits: BuildLimits

    def fetch(
        self, declared: Sequence[Mapping[str, str]], origin: Origin, check: Callable[[], None]
    ) -> list[DataFile]:
        """Fetch the declared files (`url`, `sha256`, `path`), and keep them.

        Always from where they are declared to be: who knows only a digest gets nothing by it.
        Raises EnvironmentFault for other bytes, too large a file, and what `origin` raises.
        """
        room = Room(self.limits)
        found = []
        for one in declared:
            check()
            url, path = one["url"], one["path"]
            file = self.keep(path, self._metered(path, origin.content(url), check), one)
            room.take(path, file.size)
            found.append(file)
        return found

    def keep(
        self, path: str, chunks: Iterable[bytes], declared: Mapping[str, str] | None = None
    ) -> DataFile:
        """Take a file in, and keep it if it is the declared one."""
        with self.store.new(chunks) as (sha256, held):
            if declared and sha256 != declared["sha256"]:
                raise EnvironmentFault(
                    f"{shown(declared['url'])} has other bytes than the sha256 says: it is "
                    f"{sha256}. Correct it, or name an address whose content does not change."
                )
            with held.open("rb") as file:
                self.kept.put(sha256, file)
            size = held.stat().st_size
        return DataFile(path, sha256, size, declared["url"] if declared else None)

    def link(self, files: Sequence[DataFile], folder: Path, check: Callable[[], None]) -> None:
        """Link the files below a new folder."""
        folder.mkdir(mode=0o755)
        for file in files:
            check()
            target = folder / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            with self.store.download(file.sha256, partial(self._stored, file)) as path:
                os.link(path, target)

    def _metered(
        self, path: str, chunks: Iterable[bytes], check: Callable[[], None]
    ) -> Iterator[bytes]:
        size = 0
        for chunk in chunks:
            check()
            size += len(chunk)
            Room(self.limits).take(path, size)
            yield chunk

    def _stored(self, file: DataFile) -> Iterable[bytes]:
        try:
            return self.kept.get(file.sha256)
        except FileNotFoundError as error:
            raise PlatformFault(
                f"The data file {file.path!a} is missing from the storage."
            ) from error
