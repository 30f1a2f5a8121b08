"""The log of a recording session, ``events.jsonl``."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from ecgedge.recordings.disk import Disk, DiskFile

_STEP = 4096


class EventLog:
    """Whole lines, written at a known place, so that a torn line is written over.

    Raises
    ------
    OSError
        From every method that opens or writes.
    """

    def __init__(self, disk: Disk, path: Path) -> None:
        self._disk, self._path = disk, path
        self._file: DiskFile | None = disk.create(path)
        self._size = 0
        self._held: list[str] = []
        try:
            disk.sync_folder(path.parent)
        except OSError:
            self.let_go()
            raise

    @property
    def is_open(self) -> bool:
        """Whether lines can be written."""
        return self._file is not None

    def add(self, line: str) -> None:
        """Take one line."""
        self._held.append(line)

    def flush(self) -> None:
        """Hand everything to the operating system."""
        data = "".join(self._held).encode()
        if data and self._file is not None:
            self._file.write(self._size, data)
            self._size += len(data)
        self._held = []

    def sync(self) -> None:
        """Have the disk keep what was flushed."""
        if self._file is not None:
            self._file.sync()

    def close(self) -> None:
        """Leave whole lines only, and close."""
        if self._file is not None:
            try:
                self._file.truncate(self._size)
            finally:
                self._file.close()
                self._file = None

    def let_go(self) -> None:
        """Close the file of a disk that failed, and drop what could not be written."""
        self._held = []
        with suppress(OSError):
            self.close()

    def reopen(self) -> None:
        """Go on in the same file, behind its last whole line: a disk that was pulled out may lack some."""
        file = self._disk.reopen(self._path)
        try:
            self._size = _whole_lines(file, min(self._size, file.size))
        except OSError:
            file.close()
            raise
        self._file = file


def _whole_lines(file: DiskFile, size: int) -> int:
    """So many of the first ``size`` bytes are whole lines."""
    while size > 0:
        start = max(0, size - _STEP)
        end = file.read(start, size - start).rfind(b"\n")
        if end >= 0:
            return start + end + 1
        size = start
    return 0
