"""Recordings on disk -> SampleBlocks, on the same road that a live stream takes.

Read are WFDB records (``.hea`` with ``.dat``, or with the MATLAB v4 ``.mat`` of the CinC challenges) and
CSV. Counts are integers of at most 24 bits, so that a recording read here and the same recording replayed
as frames are equal to the last bit.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np

from ecgedge.errors import RecordingError, UsageError
from ecgedge.leads import find_lead
from ecgedge.messages import Board, SampleBlock
from ecgedge.recordings import wfdb
from ecgedge.recordings.annotations import cut, decode, leads_off_spans
from ecgedge.recordings.layout import RECORDED
from ecgedge.recordings.tables import CsvFile, open_csv
from ecgedge.recordings.wfdb import Header, Signal, parse_header, read_mat4

if TYPE_CHECKING:
    import zipfile

    from ecgedge.messages import Floats

__all__ = ["Header", "Recording", "Signal", "open_recording", "parse_header", "read_mat4"]

_TEXT_SUFFIXES = (".csv", ".tsv", ".txt")
_WFDB_SUFFIXES = (".hea", ".dat", ".mat")
_EXPECTED = "a WFDB record (.hea with .dat or .mat) or CSV (.csv, .tsv, .txt)"


@dataclass(frozen=True)
class Recording:
    """A recording that is ready to be read, as often as wanted."""

    board: Board
    """Record name, rate, scale, resolution and number of leads."""
    lead_names: tuple[str, ...]
    n_samples: int
    """Samples per lead, with those that are missing."""
    _source: Callable[[], Iterator[tuple[int, Floats]]]
    _off: tuple[tuple[int, int], ...] = ()
    """Spans of samples (first, one past the last) during which an electrode was off."""
    value_per_count: float = 1.0
    """Of an unknown scale: the step from count to count in the file's own numbers."""

    def blocks(self, n: int = 4096) -> Iterator[SampleBlock]:
        """The samples in order, in blocks of ``n`` (the last one, and one before a jump, may be shorter).

        ``first`` counts from 0; a jump in it stands for rows that the file's time column shows to be
        missing. ``arrival_s`` is the virtual time at which a live board would have sent the last sample.

        Raises
        ------
        RecordingError
            Where the file turns out damaged on the way.
        """
        rate = cast(float, self.board.rate_hz)
        with _readable(self.board.name):
            for first, counts in _recut(self._source(), n):
                for a, b, off in cut(first, first + len(counts), self._off):
                    part = counts[a - first : b - first]
                    yield SampleBlock(a, part, b / rate, leads_off=off, indexed=True)


def open_recording(
    path: str | Path,
    fs: float | None = None,
    lead: str | int | None = None,
    archive: zipfile.ZipFile | None = None,
) -> Recording:
    """Open a recording; no samples are kept in memory.

    Parameters
    ----------
    path : ``rec``, ``rec.hea``, ``rec.dat``, ``rec.mat`` or a CSV file
    fs : sampling rate in Hz; needed where the file does not tell, and wins where it does
    lead : name or number of the one lead to read; None reads all
    archive : look for ``path`` among the members of this opened zip file

    Raises
    ------
    RecordingError
        Missing, unreadable, malformed, or without a sampling rate.
    UsageError
        No such lead, or ``fs`` that is no positive number.
    """
    if fs is not None and not 0.001 <= fs <= 1e6:
        raise UsageError(f"a sampling rate of {fs:g} Hz", "a number from 0.001 to 1000000")
    name = str(path)
    with _readable(name):
        recording = _open(_Place(archive), name, fs)
    rate_hz = round(cast(float, recording.board.rate_hz), 3)  # millihertz, as a board declares it
    if rate_hz <= 0:
        raise RecordingError(f"{name}: a sampling rate of {recording.board.rate_hz:g} Hz", "0.001 Hz or more")
    recording = replace(recording, board=replace(recording.board, rate_hz=rate_hz))
    return recording if lead is None else _only(recording, lead, name)


def _open(where: _Place, name: str, fs: float | None) -> Recording:
    suffix = PurePosixPath(name.replace("\\", "/")).suffix.lower()
    if suffix in _TEXT_SUFFIXES:
        return _from_csv(open_csv(partial(where.open, name), name, fs), name)
    if suffix == ".mat" and not where.holds(name[:-4] + ".hea"):
        return _from_matrix(where, name, fs)
    stem = name[:-4] if suffix in _WFDB_SUFFIXES else name
    if not where.holds(stem + ".hea"):
        _explain_missing(where, name, suffix)
    return _from_wfdb(where, stem + ".hea", fs)


class _Place:
    """A folder tree or a zip file: both hold files by name."""

    def __init__(self, archive: zipfile.ZipFile | None) -> None:
        self._archive = archive

    def holds(self, name: str) -> bool:
        if self._archive is None:
            return Path(name).is_file()
        return name in self._archive.NameToInfo

    def size(self, name: str) -> int:
        try:
            if self._archive is None:
                return Path(name).stat().st_size
            return self._archive.getinfo(name).file_size
        except (OSError, KeyError, ValueError) as error:
            raise _unreadable(name, error) from None

    def open(self, name: str) -> BinaryIO:
        try:
            if self._archive is None:
                return Path(name).open("rb")
            return cast(BinaryIO, self._archive.open(name))
        except (KeyError, NotImplementedError, RuntimeError, ValueError) as error:
            raise _unreadable(name, error) from None
        except _damage() as error:
            raise _unreadable(name, error) from None

    def sibling(self, name: str, other: str) -> str:
        """The file ``other`` in the folder of ``name``."""
        if self._archive is None:
            return str(Path(name).parent / other)
        return str(PurePosixPath(name).parent / other)


@contextmanager
def _readable(name: str) -> Iterator[None]:
    """Turn what a damaged disk or archive raises into our own error."""
    try:
        yield
    except GeneratorExit:  # nobody reads on: no damage, and no time to import anything
        raise
    except _damage() as error:
        raise _unreadable(name, error) from None


def _damage() -> tuple[type[Exception], ...]:
    """What a damaged disk or archive raises; asked for when something was raised, since a recorder, which
    imports this package too, should not pay for archives."""
    import lzma
    import zipfile

    return OSError, EOFError, lzma.LZMAError, zlib.error, zipfile.BadZipFile


def _unreadable(name: str, error: Exception) -> RecordingError:
    if isinstance(error, FileNotFoundError | KeyError):
        return RecordingError(f"{name}: no such file")
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return RecordingError(f"{name}: cannot be read ({reason})")


def _explain_missing(where: _Place, name: str, suffix: str) -> None:
    if suffix in (".dat", ".mat") and where.holds(name):
        raise RecordingError(f"{name}: no {name[:-4]}.hea beside it", "the record's header")
    if where.holds(name):
        raise RecordingError(f"{name}: unknown kind of file", _EXPECTED)
    raise RecordingError(f"{name}: no such recording", _EXPECTED)


def _from_wfdb(where: _Place, hea: str, fs: float | None) -> Recording:
    with where.open(hea) as stream:
        header = parse_header(stream.read(1 << 20).decode("latin-1"), hea)
    signals = header.signals
    if not signals:
        raise RecordingError(f"{hea}: no signals", "a record with samples")
    if fs is not None:
        header = replace(header, rate_hz=fs)
    groups = wfdb.groups(signals)
    located = {signal.file_name: where.sibling(hea, signal.file_name) for signal in signals}
    held = []
    for group in groups:
        place = located[group[0].file_name]
        held.append(wfdb.count_frames(where.size(place), group))
        if place.lower().endswith(".mat"):
            _check_matrix(where, place, group)
    n_samples = header.n_samples or min(held)
    if min(held) < n_samples or n_samples == 0:
        raise RecordingError(f"{hea}: the file holds {min(held)} samples", str(n_samples or "some"))
    uv_per_count, factors = wfdb.common_scale(signals)
    bits = 24 if np.any(factors != 1) else max(signal.bits for signal in signals)

    def source() -> Iterator[tuple[int, Floats]]:
        first = 0
        for values in wfdb.pieces(header, n_samples, lambda name: where.open(located[name])):
            yield first, np.rint(values * factors) if bits == 24 else values
            first += len(values)

    board = Board(header.name, header.rate_hz, uv_per_count, bits, len(signals))
    names = tuple(signal.name for signal in signals)
    return Recording(board, names, n_samples, source, _electrode_off(where, hea, header, n_samples))


def _electrode_off(where: _Place, hea: str, header: Header, n_samples: int) -> tuple[tuple[int, int], ...]:
    """What our own recorder noted; its samples are kept, but mean nothing while an electrode is off."""
    atr = hea[:-4] + ".atr"
    if RECORDED not in header.comments or not where.holds(atr):
        return ()
    with where.open(atr) as stream:
        return leads_off_spans(decode(stream.read(), atr), n_samples)


def _check_matrix(where: _Place, name: str, group: tuple[Signal, ...]) -> None:
    """The MATLAB header must tell the same as the WFDB header."""
    with where.open(name) as stream:
        dtype, rows, _, offset = wfdb.mat4_layout(stream.read(128), name)
    told = (group[0].fmt, group[0].offset, len(group))
    if dtype != np.dtype("<i2") or told != ("16", offset, rows):
        raise RecordingError(f"{name}: {rows} rows of {dtype} at byte {offset}", "what the .hea says")


def _from_matrix(where: _Place, name: str, fs: float | None) -> Recording:
    """A bare v4 matrix of integers: (leads, samples), rate given, scale unknown."""
    if not where.holds(name):
        raise RecordingError(f"{name}: no such file", _EXPECTED)
    if fs is None:
        raise RecordingError(f"{name}: no header", "a .hea beside it, or a sampling rate", "Give --fs.")
    with where.open(name) as stream:
        matrix = read_mat4(stream.read(), name)
    if matrix.dtype != np.dtype("<i2"):
        raise RecordingError(f"{name}: values of type {matrix.dtype}", "16-bit integers")
    counts = matrix.T.astype(np.float64)
    counts[counts == -32768] = np.nan
    rows = matrix.shape[0]
    board = Board(_bare(name), fs, None, 16, rows)
    names = tuple(f"lead {k}" for k in range(rows))
    return Recording(board, names, len(counts), lambda: iter([(0, counts)]))


def _from_csv(table: CsvFile, name: str) -> Recording:
    board = Board(
        _bare(name),
        table.rate_hz,
        table.uv_per_count,
        table.bits,
        len(table.lead_names),
    )
    return Recording(
        board, table.lead_names, table.n_samples, table.pieces, value_per_count=table.value_per_count
    )


def _bare(name: str) -> str:
    """A file's name without folder and ending, as a text: what is none in it is escaped."""
    stem = PurePosixPath(name.replace("\\", "/")).stem
    return stem.encode("utf-8", "backslashreplace").decode("utf-8")


def _only(recording: Recording, lead: str | int, name: str) -> Recording:
    """The recording reduced to one lead."""
    k = find_lead(recording.lead_names, lead, name)

    def source() -> Iterator[tuple[int, Floats]]:
        for first, counts in recording._source():
            yield first, counts[:, k : k + 1]

    board = replace(recording.board, leads=1)
    return replace(recording, board=board, lead_names=(recording.lead_names[k],), _source=source)


def _recut(source: Iterator[tuple[int, Floats]], n: int) -> Iterator[tuple[int, Floats]]:
    """Join and cut pieces to blocks of ``n``; never across a jump of the index."""
    held: list[Floats] = []
    first = total = 0
    for start, counts in source:
        if total and start != first + total:
            yield first, np.concatenate(held)
            held, total = [], 0
        if not total:
            first = start
        held.append(counts)
        total += len(counts)
        if total >= n:
            joined = np.concatenate(held)
            whole = total - total % n
            for at in range(0, whole, n):
                yield first + at, joined[at : at + n]
            held, first, total = [joined[whole:]], first + whole, total - whole
    if total:
        yield first, np.concatenate(held)
