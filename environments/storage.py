"""Files that survive a power cut: on disk before anything refers to them."""

import os
from pathlib import Path
from uuid import uuid4

from django.core.files.base import File
from django.core.files.storage import FileSystemStorage

INCOMING = "incoming"  # the folder of files that are not whole yet


class DurableFileSystemStorage(FileSystemStorage):
    """A local folder whose files, and their names, are on disk when `save` returns."""

    def _save(self, name: str, content: File) -> str:
        # A file appears whole or not at all: a crash or a full disk halfway leaves no name behind.
        scratch = Path(self.path(f"{INCOMING}/{uuid4().hex}"))
        try:
            super()._save(str(scratch), content)  # type: ignore[misc]
            _flush(scratch)
            path = Path(self.path(name))
            _make(path.parent)
            scratch.replace(path)
            _flush(path.parent)
        finally:
            scratch.unlink(missing_ok=True)
        return name


def _make(folder: Path) -> None:
    """Make a folder, and see to it that its own name is on disk too."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for made in missing:
        _flush(made.parent)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
