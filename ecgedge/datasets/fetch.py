"""A data set from PhysioNet onto this machine: by its list of checksums, resumed where it was left.

The list is fetched first and kept beside the files; a file that is there and has its checksum is left
alone. So the same command fetches, goes on, and mends.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Protocol
from urllib.parse import quote

from ecgedge.datasets.catalogue import DataSet
from ecgedge.datasets.checksums import LIST, chosen, parse_sums, sha256
from ecgedge.datasets.download import download
from ecgedge.errors import DataError, UsageError
from ecgedge.places import is_file

ADDRESS = "https://physionet.org/files/"
VARIABLE = "ECGEDGE_PHYSIONET"
"""Environment variable that names a mirror of ``ADDRESS``."""
AT_ONCE = 4


class Progress(Protocol):
    """Who wants to see how it goes; called from several threads."""

    def begin(self, files: int) -> None:
        """So many files are wanted."""

    def file(self, name: str, have: int, whole: int | None) -> None:
        """Bytes of one file that are there, and that are to be."""

    def done(self, name: str) -> None:
        """One file is there and right."""


@dataclass(frozen=True)
class Fetched:
    """What came of it."""

    folder: Path
    files: int
    """Wanted, and now there."""
    new: int
    """Of these, fetched now."""


def fetch(known: DataSet, root: Path, progress: Progress, patterns: Iterable[str] = ()) -> Fetched:
    """Fetch a set into ``root/NAME``.

    Parameters
    ----------
    root : folder of the data sets; made if it is not there
    patterns : files of the project instead of the set's usual ones; see ``checksums.chosen``

    Raises
    ------
    UsageError
        If the patterns match nothing, or the set has no usual files and none are named.
    DataError
        If the server cannot be reached or gives something else, or the disk takes no more. What has
        arrived stays.
    """
    wanted = tuple(patterns) or known.files
    if not wanted:
        raise UsageError(f"{known.name} is too large to fetch whole", "--match PATTERN", known.remark)
    for packed in (root / f"{name}.zip" for name in (known.name, *known.also)):
        if is_file(packed):
            raise DataError(
                f"{packed} is there already", advice="Move it away to fetch the files themselves."
            )
    folder = root / known.name
    address = os.environ.get(VARIABLE, ADDRESS).rstrip("/") + "/" + known.address
    stop = Event()
    listed = folder / LIST
    if not is_file(listed):
        download(address + LIST, listed, None, stop)
    sums = _sums(listed)
    names = chosen(sums, wanted)
    progress.begin(len(names))

    def one(name: str) -> bool:
        path = folder / name
        right = path.is_file() and sha256(path) == sums[name]
        if not right:
            url = address + quote(name)
            download(url, path, sums[name], stop, lambda have, whole: progress.file(name, have, whole))
        progress.done(name)
        return not right

    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            new = sum(_as_they_come(pool, one, names))
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return Fetched(folder, len(names), new)


def _sums(listed: Path) -> dict[str, str]:
    try:
        return parse_sums(listed.read_text(encoding="utf-8", errors="replace"))
    except DataError:
        listed.unlink()  # of no use, and in the way of a right one
        raise


def _as_they_come(pool: ThreadPoolExecutor, one: Callable[[str], bool], names: list[str]) -> Iterator[bool]:
    """Results, a few files at a time, so that a set of a million files is not queued whole."""
    running: set[Future[bool]] = set()
    left = iter(names)
    while True:
        for name in left:
            running.add(pool.submit(one, name))
            if len(running) >= 2 * AT_ONCE:
                break
        if not running:
            return
        done, running = wait(running, return_when=FIRST_COMPLETED)
        yield from (future.result() for future in done)
