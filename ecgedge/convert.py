"""Recordings in other formats: WFDB, EDF+, CSV, Parquet. Gaps stay gaps, sample for sample.

``edfio`` and ``pyarrow`` come with the extra ``convert`` and are imported when they are needed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgedge.errors import RecordingError, UsageError
from ecgedge.places import is_file
from ecgedge.recordings import Recording, open_recording
from ecgedge.recordings.annotations import NOTE, RHYTHM, Annotation, read_annotations
from ecgedge.recordings.layout import FORMATS, Layout, start_time
from ecgedge.recordings.wfdb import parse_header
from ecgedge.recordings.whole import choose_format, record_name, record_path, write_record

if TYPE_CHECKING:
    from ecgedge.messages import Floats

_EDF_PEAK = 32767
_GAP_NOTE = "Recording gap"
_PADDING_NOTE = "End of recording; zeros follow"


@dataclass(frozen=True)
class Source:
    """A recording with what stands beside its samples."""

    recording: Recording
    started: datetime | None
    annotations: list[Annotation]
    comments: tuple[str, ...] = ()
    """Of the header."""

    @property
    def rate_hz(self) -> float:
        """Samples per second and lead."""
        rate = self.recording.board.rate_hz
        assert rate is not None, "recordings always have a rate"
        return rate

    @property
    def unit(self) -> str:
        """``mV`` where the scale is known, else ``counts``, or nothing for values in a unit of their own."""
        if self.recording.board.uv_per_count is not None:
            return "mV"
        return "counts" if self.recording.value_per_count == 1.0 else ""

    @cached_property
    def factor(self) -> float:
        """``unit`` per count."""
        scale = self.recording.board.uv_per_count
        return self.recording.value_per_count if scale is None else scale / 1000.0

    def pieces(self) -> Iterator[tuple[int, Floats]]:
        """Counts without a jump in their numbers: rows that are not there come as not-a-number."""
        end = 0
        for block in self.recording.blocks():
            while end < block.first:
                n = min(block.first - end, 4096)
                yield end, np.full((n, self.recording.board.leads), np.nan)
                end += n
            yield block.first, block.counts
            end = block.first + block.n


def open_source(path: Path, fs: float | None = None) -> Source:
    """Open a recording, and the ``.hea`` and ``.atr`` of the same name where there are such.

    Raises
    ------
    RecordingError
        Where the recording or its annotations cannot be read.
    """
    recording = open_recording(path, fs)
    stem = path if path.suffix.lower() not in (".hea", ".dat", ".mat") else path.with_suffix("")
    header, atr = (stem.with_name(stem.name + suffix) for suffix in (".hea", ".atr"))
    annotations = read_annotations(atr) if is_file(atr) else []
    if not is_file(header):
        return Source(recording, None, annotations)
    text = header.read_text("latin-1")
    return Source(recording, start_time(text), annotations, parse_header(text, str(header)).comments)


def convert(
    path: Path, to: str, out: Path | None = None, fs: float | None = None, fmt: str | None = None
) -> Path:
    """Write a recording in another format; return the file written, of a WFDB record the header.

    Parameters
    ----------
    path : a recording
    to : ``wfdb``, ``edf``, ``csv`` or ``parquet``
    out : the file or record to write; by default the recording's name in the current folder
    fs : sampling rate in Hz, where the recording does not tell
    fmt : sample format of a WFDB record, see ``write_wfdb``

    Raises
    ------
    RecordingError
        Where the recording cannot be read or the file cannot be written.
    UsageError
        No such format, values that do not fit it, or ``out`` is there already.
    ModuleNotFoundError
        Where the format needs a package that is not installed.
    """
    writer = WRITERS.get(to)
    if writer is None and to != "wfdb":
        raise UsageError(f"--to {to}", f"one of wfdb, {', '.join(WRITERS)}")
    if fmt is not None and to != "wfdb":
        raise UsageError(f"--format {fmt} with --to {to}", "a sample format with --to wfdb only")
    source = open_source(path, fs)
    try:
        if writer is None:
            name = record_name(source.recording.board.name)
            return write_wfdb(source, record_path(out or Path(name)), fmt)
        out = out or Path(f"{source.recording.board.name}.{to}")
        _write_file(writer, source, out)
    except OSError as error:
        raise RecordingError(f"{out or path.stem}: cannot be written ({error.strerror or error})") from None
    return out


def _write_file(writer: Callable[[Source, Path], None], source: Source, out: Path) -> None:
    if out.exists():
        raise UsageError(f"{out} is there already", advice="Name another file with --out.")
    beside = out.with_name(out.name + ".part")
    try:
        writer(source, beside)
        beside.replace(out)
    finally:
        beside.unlink(missing_ok=True)


def gaps(missing: np.ndarray[Any, np.dtype[np.bool_]]) -> list[tuple[int, int]]:
    """Runs of True as (first, one past the last)."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], missing, [False])).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


# -- WFDB ----------------------------------------------------------------------------------------------


def write_wfdb(source: Source, stem: Path, fmt: str | None = None) -> Path:
    """A WFDB record of any one sample format; a missing sample is that format's "no sample".

    Counts are stored as they are, with the scale of all leads and zero as their baseline. Comments of a
    WFDB header stay, as the notes of our recorder mean something by them.

    Parameters
    ----------
    stem : path of the record, without an ending
    fmt : ``16``, ``24``, ``212`` or ``mat`` (MATLAB v4); by default 16, or 24 for more than 16 bits

    Returns
    -------
    The header.

    Raises
    ------
    UsageError
        Values that do not fit the format; nothing is written then.
    """
    recording = source.recording
    board = recording.board
    lowest = highest = 0
    for _, counts in source.pieces():
        known = counts[np.isfinite(counts)]
        if known.size:
            lowest, highest = min(lowest, int(known.min())), max(highest, int(known.max()))
    chosen = choose_format(fmt, board.bits or 16, lowest, highest)
    width = FORMATS[chosen].bits
    layout = Layout(
        source.rate_hz,
        chosen,
        board.leads,
        board.uv_per_count,
        min(board.bits or width, width),
        lead_names=recording.lead_names,
    )
    pieces = (counts for _, counts in source.pieces())
    return write_record(
        stem,
        layout,
        recording.n_samples,
        pieces,
        source.annotations,
        started=source.started,
        comments=source.comments,
    )


# -- EDF+ ----------------------------------------------------------------------------------------------


def write_edf(source: Source, out: Path) -> None:
    """EDF+C of one file: a missing sample is zero under an annotation that says so.

    ``edfio`` takes and writes whole signals, so the record is in memory, as 16-bit numbers and twice at the
    end: an hour at 250 Hz takes about 6 MB a lead.
    """
    import edfio

    names = source.recording.lead_names
    peaks, holes = _survey(source)
    n = len(holes)
    everywhere = holes.all(axis=1)
    runs = [(run, _GAP_NOTE) for run in gaps(everywhere)]
    for k, name in enumerate(names):
        runs += [(run, f"{_GAP_NOTE} in {name}") for run in gaps(holes[:, k] & ~everywhere)]
    notes = [
        edfio.EdfAnnotation(first / source.rate_hz, (last - first) / source.rate_hz, text)
        for (first, last), text in runs
    ]
    notes += [edfio.EdfAnnotation(a.sample / source.rate_hz, None, _label(a)) for a in source.annotations]
    record_s, per_record = _data_record(source.rate_hz)
    padding = -n % per_record
    if padding:
        notes.append(edfio.EdfAnnotation(n / source.rate_hz, padding / source.rate_hz, _PADDING_NOTE))
    steps = np.maximum(1.0, peaks / _EDF_PEAK)
    digital = np.zeros((len(names), n + padding), np.int16)
    for first, counts in source.pieces():
        digital[:, first : first + len(counts)] = np.rint(np.nan_to_num(counts) / steps).T
    signals = [_edf_signal(edfio, source, digital[k], float(steps[k]), name) for k, name in enumerate(names)]
    started = source.started
    edf = edfio.Edf(
        signals,
        recording=edfio.Recording(startdate=started.date() if started else None, equipment_code="ecgedge"),
        starttime=started.time().replace(tzinfo=None) if started else None,
        data_record_duration=record_s,
        annotations=sorted(notes, key=lambda note: note.onset),
    )
    edf.write(out)


def _survey(source: Source) -> tuple[Floats, np.ndarray[Any, np.dtype[np.bool_]]]:
    """Largest magnitude of each lead, and which samples are missing, shape (n, leads)."""
    peaks = np.zeros(source.recording.board.leads)
    holes = []
    for _, counts in source.pieces():
        peaks = np.maximum(peaks, np.abs(np.nan_to_num(counts)).max(axis=0))
        holes.append(np.isnan(counts))
    return peaks, np.concatenate(holes)


def _label(a: Annotation) -> str:
    """An annotation in one text: rhythms and notes say it all, other symbols may have one beside them."""
    if a.symbol in (RHYTHM, NOTE) and a.note:
        return a.note
    return f"{a.symbol} {a.note}".strip()


def _data_record(rate_hz: float) -> tuple[float, int]:
    """Seconds and samples of a data record: the shortest whole number of seconds with whole samples."""
    for seconds in range(1, 1001):
        n = rate_hz * seconds
        if abs(n - round(n)) < 1e-6:
            return float(seconds), round(n)
    raise RecordingError(f"a rate of {rate_hz} Hz", "a rate that EDF can express")


def _edf_signal(edfio: Any, source: Source, digital: Any, step: float, name: str) -> Any:
    """One signal; its counts themselves where 16 bits hold them, otherwise in steps of so many counts."""
    unit, factor = ("uV", source.factor * 1000) if source.unit == "mV" else ("", source.factor)
    reach = _eight_characters(_EDF_PEAK * step * factor)
    return edfio.EdfSignal.from_digital(
        digital,
        source.rate_hz,
        label=f"ECG {name}"[:16] if not name.upper().startswith("ECG") else name[:16],
        physical_dimension=unit,
        physical_range=(-reach, reach),
        digital_range=(-_EDF_PEAK, _EDF_PEAK),
    )


def _eight_characters(value: float) -> float:
    """``value`` as exactly as a header field holds it, with room for a sign."""
    whole = len(str(int(abs(value))))
    return round(value, max(0, 6 - whole))


# -- CSV -----------------------------------------------------------------------------------------------


def write_csv(source: Source, out: Path) -> None:
    """A row a sample: seconds, then each lead; an empty field is a missing sample."""
    decimals = _decimals(source.factor)
    unit = " [mV]" if source.unit == "mV" else ""
    names = [name.replace(",", " ") + unit for name in source.recording.lead_names]
    with out.open("w", encoding="utf-8", newline="") as file:
        file.write(",".join(["time [s]", *names]) + "\n")
        for first, counts in source.pieces():
            values = counts * source.factor
            rows = []
            for k, row in enumerate(values.tolist()):
                fields = ["" if v != v else f"{v:.{decimals}f}" for v in row]
                rows.append(",".join([f"{(first + k) / source.rate_hz:.6f}", *fields]) + "\n")
            file.writelines(rows)


def _decimals(step: float) -> int:
    """Decimals that tell values apart which are ``step`` apart, all of them where it is a power of ten."""
    digits = -math.log10(step)
    return max(0, round(digits) if abs(digits - round(digits)) < 1e-9 else math.ceil(digits) + 2)


# -- Parquet -------------------------------------------------------------------------------------------


def write_parquet(source: Source, out: Path) -> None:
    """Columns ``time_s`` and one a lead (null where missing); the rest as metadata of the schema."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = source.recording.lead_names
    meta = {
        "rate_hz": repr(source.rate_hz),
        "unit": source.unit,
        "started": source.started.isoformat() if source.started else "",
        "annotations": json.dumps([[a.sample, a.symbol, a.note] for a in source.annotations]),
    }
    fields = [pa.field("time_s", pa.float64(), nullable=False), *(pa.field(n, pa.float64()) for n in names)]
    schema = pa.schema(fields, metadata=meta)
    # Opened here: a name need not be text, which pyarrow would have it be.
    with out.open("wb") as file, pq.ParquetWriter(file, schema) as writer:
        for first, counts in source.pieces():
            time_s = (first + np.arange(len(counts))) / source.rate_hz
            columns = [pa.array(counts[:, k] * source.factor, from_pandas=True) for k in range(len(names))]
            writer.write_table(pa.table([pa.array(time_s), *columns], schema=schema))


WRITERS: dict[str, Callable[[Source, Path], None]] = {
    "edf": write_edf,
    "csv": write_csv,
    "parquet": write_parquet,
}
"""Formats of one file, and what writes them."""
