"""How a download goes, on standard error: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager
from threading import Lock

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

_LARGE = 2_000_000  # bytes from which on a file has a bar of its own
_LINE_EVERY_S = 10.0


class _Speed(TransferSpeedColumn):
    """Bytes a second, of what is counted in bytes."""

    def render(self, task: Task) -> Text:
        return super().render(task) if task.fields.get("bytes") else Text()


class Bar(AbstractContextManager["Bar"]):
    """Progress on a terminal."""

    def __init__(self) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(),
            _Speed(),
        )
        self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
        self._lock = Lock()
        self._large: dict[str, TaskID] = {}
        self._files: TaskID | None = None

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def begin(self, files: int) -> None:
        """So many files are wanted."""
        self._files = self._progress.add_task(f"{files} files", total=files)

    def file(self, name: str, have: int, whole: int | None) -> None:
        """Show a large file by itself."""
        if whole is None or whole < _LARGE:
            return
        with self._lock:
            if name not in self._large:
                self._large[name] = self._progress.add_task(name, total=whole, bytes=True)
        self._progress.update(self._large[name], completed=have)

    def done(self, name: str) -> None:
        """One file more; its own bar goes."""
        with self._lock:
            task = self._large.pop(name, None)
        if task is not None:
            self._progress.remove_task(task)
        if self._files is not None:
            self._progress.advance(self._files)


class Lines(AbstractContextManager["Lines"]):
    """Progress where no terminal is."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._files = self._done = 0
        self._next = time.monotonic() + _LINE_EVERY_S

    def __exit__(self, *error: object) -> None:
        return None

    def begin(self, files: int) -> None:
        """So many files are wanted."""
        self._files = files

    def file(self, name: str, have: int, whole: int | None) -> None:
        """Now and then, say how far a file is."""
        with self._lock:
            if time.monotonic() < self._next:
                return
            self._next = time.monotonic() + _LINE_EVERY_S
        size = "" if whole is None else f" of {whole / 1e6:.1f}"
        print(f"{self._done}/{self._files} files; {name}: {have / 1e6:.1f}{size} MB", file=sys.stderr)

    def done(self, name: str) -> None:
        """One file more."""
        with self._lock:
            self._done += 1


def bar() -> Bar | Lines:
    """The one that fits standard error."""
    return Bar() if sys.stderr.isatty() else Lines()
