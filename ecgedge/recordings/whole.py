"""A whole WFDB record written in one go, in any of the formats; not for a stream, see ``writer`` for that."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecgedge.errors import UsageError
from ecgedge.recordings.annotations import Annotation, write_annotations
from ecgedge.recordings.disk import Disk
from ecgedge.recordings.layout import FORMATS, Layout, header_text
from ecgedge.recordings.writer import SampleFile

if TYPE_CHECKING:
    from ecgedge.messages import Floats

SUFFIXES = (".hea", ".dat", ".mat", ".atr")
_NAME = re.compile(r"[A-Za-z0-9_-]+")


def record_name(text: str) -> str:
    """The nearest name that a record may have: letters, digits, underscores, hyphens."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", text) or "record"


def record_path(path: Path) -> Path:
    """The record that ``path`` names, without the ending of one of its files.

    Raises
    ------
    UsageError
        Where a record cannot be called so, or one of its files is there already.
    """
    stem = path.with_suffix("") if path.suffix.lower() in SUFFIXES else path
    if not _NAME.fullmatch(stem.name):
        raise UsageError(f"a record called {stem.name!r}", "letters, digits, underscores and hyphens")
    for suffix in SUFFIXES:
        found = stem.with_name(stem.name + suffix)
        if found.exists():
            raise UsageError(f"{found} is there already", advice="Name another record with --out.")
    return stem


def choose_format(wanted: str | None, bits: int, lowest: int, highest: int) -> str:
    """The format to write, a key of ``FORMATS``; nothing is ever clipped.

    Parameters
    ----------
    wanted : the user's choice; without it 16, or 24 where the resolution or the values need it
    bits : resolution of the recording
    lowest, highest : the values that are there

    Raises
    ------
    UsageError
        The values do not fit the format wanted.
    """
    fitting = [name for name in ("212", "16", "24") if -_reach(name) <= lowest and highest <= _reach(name)]
    if wanted is None:
        return "16" if bits <= 16 and "16" in fitting else "24"
    if -_reach(wanted) <= lowest and highest <= _reach(wanted):
        return wanted
    raise UsageError(
        f"values from {lowest} to {highest} for format {wanted}",
        f"{-_reach(wanted)} to {_reach(wanted)}",
        f"Format {fitting[0]} holds them." if fitting else "",
    )


def _reach(name: str) -> int:
    return Layout(1.0, name).reach


def write_record(
    stem: Path,
    layout: Layout,
    n_samples: int,
    pieces: Iterable[Floats],
    annotations: list[Annotation],
    *,
    started: datetime | None = None,
    comments: tuple[str, ...] = (),
) -> Path:
    """Write ``stem.hea``, the file of samples, and ``stem.atr`` where there are annotations.

    The header comes last: where something fails there is none, and so no record.

    Parameters
    ----------
    n_samples : how many frames ``pieces`` have in all
    pieces : counts of shape (n, leads) that the layout holds; not a number is stored as "no sample"
    started : time of the first sample
    comments : lines for the header

    Returns
    -------
    The header.

    Raises
    ------
    OSError
        Where a file cannot be written.
    """
    name, data = stem.name, f"{stem.name}{FORMATS[layout.fmt].suffix}"
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=stem.parent) as folder:
        beside = Path(folder)
        samples = SampleFile(Disk(), beside / data, layout, layout.head(n_samples))
        try:
            for counts in _in_pairs(pieces):
                samples.append(counts)
                samples.flush()
        finally:
            samples.close()
        if samples.n != n_samples:
            raise ValueError(f"{samples.n} frames came, {n_samples} were announced")
        made = [data]
        if annotations:
            write_annotations(beside / f"{name}.atr", annotations)
            made.append(f"{name}.atr")
        text = header_text(name, layout, n_samples, started, comments, samples.sums)
        (beside / f"{name}.hea").write_bytes(text.encode("latin-1", "replace"))
        for file in (*made, f"{name}.hea"):
            (beside / file).replace(stem.parent / file)
    return stem.parent / f"{name}.hea"


def _in_pairs(pieces: Iterable[Floats]) -> Iterator[Floats]:
    """The same frames in pieces of an even number, except for the last: format 212 packs values by twos."""
    held: Floats | None = None
    for piece in pieces:
        joined = piece if held is None else np.concatenate([held, piece])
        whole = len(joined) - len(joined) % 2
        held = joined[whole:]
        yield joined[:whole]
    if held is not None and len(held):
        yield held
