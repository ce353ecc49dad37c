"""Files that survive a power cut: on disk before anything refers to them."""

import os
from pathlib import Path

from django.core.files.base import File
from django.core.files.storage import FileSystemStorage


class DurableFileSystemStorage(FileSystemStorage):
    """A local folder whose files, and their names, are on disk when `save` returns."""

    def _save(self, name: str, content: File) -> str:
        saved = super()._save(name, content)
        path = Path(self.path(saved))
        for target in (path, path.parent):
            descriptor = os.open(target, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        return saved
