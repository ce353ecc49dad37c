"""The wheels that bundles are linked from: fetched, checked, unpacked once on each host."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from graders.bundling import wheels
from graders.bundling.index import Index
from graders.bundling.limits import MIB, BuildLimits
from graders.bundling.lock import Locked
from graders.bundling.store import Store
from graders.errors import EnvironmentFault, PlatformFault


class Kept(Protocol):
    """Where files are kept for good, because nobody else can be relied on to have them."""

    def put(self, sha256: str, content: BinaryIO) -> None: ...

    def get(self, sha256: str) -> Iterator[bytes]:
        """Its bytes, in chunks. Raises FileNotFoundError at once."""
        ...


class NotListed(PlatformFault):
    """The package index has no such file, or has it no more."""


@dataclass(frozen=True)
class Stock:
    """A host's store, and where it is filled from."""

    store: Store
    index: Index
    kept: Kept
    limits: BuildLimits

    def tree(
        self, wheel: Locked, check: Callable[[], None] = lambda: None
    ) -> AbstractContextManager[Path]:
        """A wheel's files, read-only, held while the context lasts.

        Raises PlatformFault if it cannot be had, EnvironmentFault if it is none, and what `check`
        raises, which is called all through a download.
        """

        def chunks() -> Iterator[bytes]:
            for chunk in self._content(wheel):
                check()
                yield chunk

        def unpack(target: Path) -> None:
            with self.store.download(wheel.sha256, chunks) as path:
                wheels.unpack(path, target, wheel.filename, self.limits)

        return self.store.wheel(wheel.sha256, unpack)

    def install(
        self,
        locked: list[Locked],
        folder: Path,
        check: Callable[[], None] = lambda: None,
        *,
        beside: tuple[int, int] = (0, 0),
    ) -> tuple[int, int]:
        """Link the files of the wheels into `folder`; files and bytes of the bundle so far.

        `beside` are the files and bytes that the bundle holds besides. Raises EnvironmentFault if
        it is too large or they clash, and what `tree` raises.
        """
        folder.mkdir(mode=0o755, exist_ok=True)
        files, size = beside
        for wheel in locked:
            check()
            try:
                with self.tree(wheel, check) as tree:
                    count, length = _link(tree, folder)
            except wheels.CLASHES as error:
                raise EnvironmentFault(
                    f"{wheel.filename} has a file where another package has a folder."
                ) from error
            files, size = files + count, size + length
            if files > self.limits.files or size > self.limits.bundle_mb * MIB:
                raise EnvironmentFault(
                    f"The dependencies, and the data beside them, take more than "
                    f"{self.limits.bundle_mb} MiB or {self.limits.files} files. Depend on less."
                )
        return files, size

    def _content(self, wheel: Locked) -> Iterable[bytes]:
        if wheel.built_from is None:
            return self._listed(wheel)
        try:
            return self.kept.get(wheel.sha256)
        except FileNotFoundError as error:
            raise PlatformFault(
                f"The wheel {wheel.filename}, which was built here, is missing from the storage."
            ) from error

    def _listed(self, wheel: Locked) -> Iterable[bytes]:
        for file in self.index.files(wheel.name):
            if file.sha256 == wheel.sha256:
                return self.index.content(file)
        raise NotListed(
            f"The package index does not list {wheel.filename} (sha256 {wheel.sha256[:12]}…)."
        )


def _link(tree: Path, folder: Path) -> tuple[int, int]:
    """Hard links of a tree's files in `folder`; how many, folders counted, and their bytes.

    Bytecode that was brought along is left out: nobody can tell whether it is its source's.
    """
    count = size = 0
    for source in tree.rglob("*"):
        path = source.relative_to(tree)
        target = folder / path
        if "__pycache__" in path.parts:
            continue
        if source.is_dir():
            target.mkdir(mode=0o755, exist_ok=True)
        else:
            target.unlink(missing_ok=True)  # two packages may bring one file: the later one stands
            os.link(source, target)
            size += source.stat().st_size
        count += 1
    return count, size
