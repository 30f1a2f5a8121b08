"""The file system as far as the writers of records use it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


class DiskFile:
    """An open file that is written and read at given places, without buffers of ours."""

    def __init__(self, path: Path, mode: str) -> None:
        self._path = path
        self._file = path.open(mode, buffering=0)

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return os.fstat(self._file.fileno()).st_size

    def read(self, offset: int, n: int) -> bytes:
        """Up to ``n`` bytes from a given place on."""
        self._file.seek(offset)
        data: bytes = self._file.read(n)
        return data

    def write(self, offset: int, data: bytes) -> None:
        """Write all of ``data``; OSError where that fails, with part of it perhaps written."""
        self._file.seek(offset)
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]

    def truncate(self, size: int) -> None:
        """Cut the file to ``size`` bytes."""
        self._file.truncate(size)

    def sync(self) -> None:
        """Return when what was written would survive a power cut.

        OSError also where nothing is found by its name any more, the file being removed, moved, or hidden by
        another disk: to such a file everything can be written, and nobody will read it.
        """
        os.fsync(self._file.fileno())
        self._path.stat()

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._file.close()


class Disk:
    """The file system as far as the writers use it; tests put another in its place."""

    def make_folder(self, path: Path) -> None:
        """Make a folder, and those above it; what was made survives a power cut."""
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        path.mkdir(parents=True, exist_ok=True)
        for folder in reversed(missing):
            self.sync_folder(folder.parent)

    def create(self, path: Path) -> DiskFile:
        """Open a new, empty file."""
        return DiskFile(path, "wb")

    def replace(self, path: Path, data: bytes) -> None:
        """Put ``data`` in the place of a file: a reader, even after a power cut, finds the old or the new.

        Which of the two it is after a power cut is certain from the next ``sync_folder`` on.
        """
        beside = path.with_name(path.name + ".new")
        file = DiskFile(beside, "wb")
        try:
            file.write(0, data)
            file.sync()
        finally:
            file.close()
        beside.replace(path)

    def reopen(self, path: Path) -> DiskFile:
        """Open a file that is there."""
        return DiskFile(path, "r+b")

    def sync_folder(self, path: Path) -> None:
        """Return when new names in a folder would survive a power cut."""
        if os.name != "posix":
            return
        number = os.open(path, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)

    def remove(self, path: Path) -> None:
        """Remove a file, if it is there and can be removed."""
        with suppress(OSError):
            path.unlink()
        with suppress(OSError):
            path.with_name(path.name + ".new").unlink()
