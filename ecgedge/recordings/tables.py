"""CSV and its relatives: one row per sample, one column per lead.

Delimiter (comma, semicolon, tab, blanks), header, units and a time column are found from the file itself.
The file is read twice, piece by piece: once to learn its length, rate and range, once for the samples.
Values are brought to integers of at most 24 bits: by a power of ten where the file's decimals allow it
exactly, otherwise by the power of two that fills 24 bits.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import pairwise
from math import ceil, log2, nan
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from ecgedge.errors import RecordingError
from ecgedge.recordings.wfdb import MAX_COUNT, microvolts

if TYPE_CHECKING:
    from ecgedge.messages import Floats

_PIECE_CHARACTERS = 1 << 18
_MAX_DECIMALS = 6
_MAX_HEADER_ROWS = 3
_BLANK = {"", "nan", "na", "n/a", "null", "none", "-"}
_TIME_NAMES = {"time", "t", "timestamp", "datetime", "date", "elapsed"}
_TIME_UNITS = {
    "s": 1.0, "sec": 1.0, "secs": 1.0, "second": 1.0, "seconds": 1.0,
    "ms": 1e-3, "msec": 1e-3, "millis": 1e-3, "milliseconds": 1e-3,
    "us": 1e-6, "µs": 1e-6, "usec": 1e-6, "micros": 1e-6, "microseconds": 1e-6,
}  # fmt: skip
_INDEX_NAMES = {"index", "sample", "no", "unnamed"}
_PEAK = 1e30  # microvolt or counts; beyond it the scale would leave the range of a 32-bit float
_SLOWEST_HZ, _FASTEST_HZ = 20.0, 20_000.0


@dataclass(frozen=True)
class _Layout:
    delimiter: str | None
    """None stands for blanks."""
    decimal_comma: bool
    columns: int
    leads: tuple[int, ...]
    names: tuple[str, ...]
    units: tuple[float | None, ...]
    """Microvolt per unit of each lead; None where unknown."""
    time: int | None
    time_unit_s: float | None
    """None where the header does not tell."""
    header_rows: int


@dataclass
class _Scan:
    """What the first reading learns."""

    rows: int = 0
    skipped: int = 0
    peak: float = 0.0
    decimals: int = 0
    """Decimals that hold every value so far; more than ``_MAX_DECIMALS`` where none do."""
    steps: int = 0
    steps_s: float = 0.0
    period_s: float | None = None
    """Typical step of the time column; None where its steps are too uneven to show missing rows."""
    first_s: float = nan
    last_s: float = nan
    time_unit_s: float = 1.0


@dataclass(frozen=True)
class CsvFile:
    """A CSV file that was read once and can be read again for its samples."""

    lead_names: tuple[str, ...]
    rate_hz: float
    uv_per_count: float | None
    value_per_count: float
    """In the unit of the first lead that has one, or in that of the file where none has."""
    bits: int | None
    n_samples: int
    """With the rows that the time column shows to be missing."""
    _opener: Callable[[], BinaryIO] = field(repr=False)
    _name: str
    _layout: _Layout = field(repr=False)
    _scan: _Scan = field(repr=False)
    _factors: Floats = field(repr=False)

    def pieces(self) -> Iterator[tuple[int, Floats]]:
        """Index of the first sample and counts, shape (n, leads); the index jumps over missing rows."""
        first = 0
        last_s = nan
        for _, table in _tables(self._opener, self._name, self._layout):
            counts = np.rint(_leads(table, self._layout) * self._factors)
            skips = np.zeros(len(table), np.int64)
            if self._layout.time is not None:
                seconds = table[:, self._layout.time] * self._scan.time_unit_s
                skips = _skips(np.diff(seconds, prepend=last_s), self._scan.period_s)
                last_s = float(seconds[-1])
            cuts = [0, *(np.flatnonzero(skips[1:]) + 1).tolist(), len(table)]
            for start, stop in pairwise(cuts):
                first += int(skips[start])
                yield first, counts[start:stop]
                first += stop - start


def open_csv(opener: Callable[[], BinaryIO], name: str, fs: float | None) -> CsvFile:
    """Read a CSV file once and describe it.

    Raises
    ------
    RecordingError
        Not text, no numbers, rows of odd length, time that runs backwards, or no sampling rate.
    """
    layout = _find_layout(opener, name)
    if layout.time is None and fs is None:
        raise RecordingError(f"{name}: no sampling rate", "a time column, or a rate", "Give --fs.")
    scan = _scan_file(opener, name, layout)
    rate_hz = fs if fs is not None else _rate(scan, name)
    known = [unit for unit in layout.units if unit is not None]
    unit = known[0] if known else None
    if scan.peak * (unit or 1.0) > _PEAK:
        raise RecordingError(f"{name}: values up to {scan.peak:g}", "an ECG", "Check columns and units.")
    factor = _factor(scan)
    ratios = np.array([1.0 if u is None or unit is None else u / unit for u in layout.units])
    return CsvFile(
        lead_names=layout.names,
        rate_hz=rate_hz,
        uv_per_count=None if unit is None else float(np.float32(unit / factor)),
        value_per_count=1.0 / factor,
        bits=None if scan.decimals == 0 and factor == 1 else 24,
        n_samples=scan.rows + scan.skipped,
        _opener=opener,
        _name=name,
        _layout=layout,
        _scan=scan,
        _factors=ratios * factor,
    )


def _factor(scan: _Scan) -> float:
    """Counts per unit of the file."""
    if scan.peak == 0:
        return 1.0
    if scan.decimals <= _MAX_DECIMALS and scan.peak * 10.0**scan.decimals <= MAX_COUNT:
        return 10.0**scan.decimals
    return float(2.0 ** -ceil(log2(scan.peak / MAX_COUNT)))


def _rate(scan: _Scan, name: str) -> float:
    span_s = scan.last_s - scan.first_s
    if scan.period_s is not None and scan.steps_s > 0:
        rate_hz = scan.steps / scan.steps_s
    elif span_s > 0:
        rate_hz = (scan.rows - 1) / span_s
    else:
        raise RecordingError(f"{name}: time stands still", "a time column that rises", "Give --fs.")
    whole = round(rate_hz)
    # A clock of whole milliseconds shows 360 Hz as 359.98: the round number is meant.
    return float(whole) if whole and abs(rate_hz - whole) <= 1e-3 * whole else rate_hz


def _scan_file(opener: Callable[[], BinaryIO], name: str, layout: _Layout) -> _Scan:
    scan = _Scan()
    units = [unit for unit in layout.units if unit is not None]
    ratios = np.array([1.0 if u is None else u / units[0] for u in layout.units])
    for line, table in _tables(opener, name, layout):
        values = _leads(table, layout) * ratios
        finite = values[np.isfinite(values)]
        if finite.size:
            scan.peak = max(scan.peak, float(np.max(np.abs(finite))))
            scan.decimals = _decimals(finite, scan.decimals)
        if layout.time is not None:
            _scan_time(scan, table[:, layout.time], layout.time_unit_s, f"{name}, line {line}")
        scan.rows += len(table)
    if scan.rows == 0:
        raise RecordingError(f"{name}: no rows", "a row of numbers for every sample")
    return scan


def _decimals(values: Floats, start: int) -> int:
    for decimals in range(start, _MAX_DECIMALS + 1):
        scaled = values * 10.0**decimals
        if bool(np.all(np.abs(scaled - np.rint(scaled)) <= 1e-9 * np.maximum(1.0, np.abs(scaled)))):
            return decimals
    return _MAX_DECIMALS + 1


def _scan_time(scan: _Scan, column: Floats, unit_s: float | None, where: str) -> None:
    if not np.all(np.isfinite(column)):
        raise RecordingError(f"{where}: a row without time", "a time in every row")
    if scan.rows == 0:
        _start_time(scan, column, unit_s)
    seconds = column * scan.time_unit_s
    steps = np.diff(seconds, prepend=scan.last_s)
    scan.last_s = float(seconds[-1])
    steps = steps[np.isfinite(steps)]
    if np.any(steps < 0):
        raise RecordingError(f"{where}: time runs backwards", "a time column that rises")
    if scan.period_s is not None:
        skips = _skips(steps, scan.period_s)
        scan.skipped += int(skips.sum())
        scan.steps += int(np.count_nonzero(skips == 0))
        scan.steps_s += float(steps[skips == 0].sum())


def _start_time(scan: _Scan, column: Floats, unit_s: float | None) -> None:
    """Unit and typical step from the first piece of the time column."""
    steps = np.diff(column)
    typical = float(np.median(steps)) if len(steps) else 0.0
    mean = float(np.mean(steps)) if len(steps) else 0.0
    if unit_s is None:
        # Sketches print millis() or micros() under the name "time".
        step = typical or mean
        rates = ((1.0 / (step * unit), unit) for unit in (1.0, 1e-3, 1e-6) if step > 0)
        unit_s = next((unit for rate, unit in rates if _SLOWEST_HZ <= rate <= _FASTEST_HZ), 1.0)
    scan.time_unit_s = unit_s
    scan.first_s = float(column[0]) * unit_s
    if typical > 0 and np.mean(np.abs(steps - typical) <= 0.6 * typical) >= 0.95:
        regular = steps[np.abs(steps - typical) <= 0.6 * typical]
        scan.period_s = float(np.mean(regular)) * unit_s


def _skips(steps: Floats, period_s: float | None) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Rows missing before each row, from the time that passed since the row before."""
    if period_s is None:
        return np.zeros(len(steps), np.int64)
    missing = np.where(steps > 2.5 * period_s, np.rint(steps / period_s) - 1, 0.0)
    return np.nan_to_num(missing).astype(np.int64)


def _leads(table: Floats, layout: _Layout) -> Floats:
    values = table[:, list(layout.leads)]
    values[~np.isfinite(values)] = np.nan
    return values


def _lines(opener: Callable[[], BinaryIO], name: str) -> Iterator[tuple[int, list[str]]]:
    """Number of the first line, and the lines of one piece of the file."""
    with opener() as binary, io.TextIOWrapper(binary, "utf-8-sig", errors="replace") as text:
        number = 1
        while lines := text.readlines(_PIECE_CHARACTERS):
            if any("\0" in line for line in lines):
                raise RecordingError(f"{name}: binary data or UTF-16", "plain text (UTF-8)")
            yield number, lines
            number += len(lines)


def _tables(opener: Callable[[], BinaryIO], name: str, layout: _Layout) -> Iterator[tuple[int, Floats]]:
    """Number of the first line, and the numbers of all columns of one piece, shape (rows, columns)."""
    header = layout.header_rows
    for number, lines in _lines(opener, name):
        rows = [(number + k, line) for k, line in enumerate(lines) if _is_row(line)]
        rows, header = rows[header:], max(header - len(rows), 0)
        if rows:
            yield rows[0][0], _numbers(rows, name, layout)


def _is_row(line: str) -> bool:
    text = line.strip()
    return bool(text) and not text.startswith(("#", "%"))


def _numbers(rows: list[tuple[int, str]], name: str, layout: _Layout) -> Floats:
    if not layout.decimal_comma:
        try:  # the fast way, for files without empty fields, quotes and clock times
            lines = [line for _, line in rows]
            table = np.loadtxt(lines, np.float64, comments=None, delimiter=layout.delimiter, ndmin=2)
            if table.shape == (len(rows), layout.columns):
                return table
        except ValueError:
            pass
    table = np.empty((len(rows), layout.columns))
    for k, (number, line) in enumerate(rows):
        fields = _split(line, layout.delimiter)
        if len(fields) != layout.columns:
            raise RecordingError(f"{name}, line {number}: {len(fields)} columns", str(layout.columns))
        for column, text in enumerate(fields):
            value = _number(text, layout.decimal_comma, clock=column == layout.time)
            if value is None:
                raise RecordingError(f"{name}, line {number}: {text[:40]!r}", "a number")
            table[k, column] = value
    return table


def _split(line: str, delimiter: str | None) -> list[str]:
    return [part.strip().strip("\"'").strip() for part in line.strip("\r\n").split(delimiter)]


def _number(text: str, decimal_comma: bool = False, clock: bool = False) -> float | None:
    """The value of one field; NaN for an empty one, None where it is no number."""
    if text.lower() in _BLANK:
        return nan
    if decimal_comma:
        text = text.replace(",", ".")
    try:
        return float(text)
    except ValueError:
        return _clock_s(text) if clock else None


def _clock_s(text: str) -> float | None:
    """Seconds of ``[hh:]mm:ss.fff`` or of an ISO 8601 date and time."""
    if re.fullmatch(r"(\d+:)?\d{1,2}:\d{1,2}(\.\d+)?", text):
        seconds = 0.0
        for part in text.split(":"):
            seconds = seconds * 60 + float(part)
        return seconds
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()


def _find_layout(opener: Callable[[], BinaryIO], name: str) -> _Layout:
    start: list[str] = []
    for _, lines in _lines(opener, name):
        start = [line for line in lines if _is_row(line)][:200]
        if start:
            break
    if not start:
        raise RecordingError(f"{name}: no rows", "a row of numbers for every sample")
    sample = start[-1]
    several = len(sample.split()) > 1
    delimiter = next((mark for mark in "\t;," if mark in sample), None if several else ",")
    decimal_comma = delimiter != "," and any("," in line for line in start[len(start) // 2 :])
    rows = [_split(line, delimiter) for line in start]
    header_rows = 0
    while header_rows < len(rows) and not _is_numeric(rows[header_rows], decimal_comma):
        header_rows += 1
    if header_rows > _MAX_HEADER_ROWS or header_rows == len(rows):
        row = min(header_rows, len(rows) - 1)
        raise RecordingError(f"{name}: {start[row].strip()[:60]!r}", "rows of numbers")
    columns = len(rows[header_rows])
    heads = [row for row in rows[:header_rows] if len(row) == columns]
    body = rows[header_rows:]
    times = [] if heads else _headless_ramp(body, decimal_comma)
    return _name_columns(heads, times, columns, delimiter, decimal_comma, header_rows, name)


def _is_numeric(fields: list[str], decimal_comma: bool) -> bool:
    return all(_number(text, decimal_comma, clock=True) is not None for text in fields)


def _headless_ramp(body: list[list[str]], decimal_comma: bool) -> list[str]:
    """What a first column that only rises must be where no header tells: time, or a running number."""
    if len(body) < 8 or len(body[0]) < 2:
        return []
    column = np.array([_number(row[0], decimal_comma, clock=True) for row in body], np.float64)
    steps = np.diff(column)
    if not np.all(steps > 0):
        return []
    return ["index" if np.all(steps == 1) else "time"]


def _name_columns(
    heads: list[list[str]],
    ramp: list[str],
    columns: int,
    delimiter: str | None,
    decimal_comma: bool,
    header_rows: int,
    name: str,
) -> _Layout:
    """Which columns are leads, which is time, and in which units."""
    titles = heads[0] if heads else ramp + [""] * (columns - len(ramp))
    extra = heads[1] if len(heads) > 1 else [""] * columns
    words = [_words(f"{title} {unit}") for title, unit in zip(titles, extra, strict=True)]
    time = next((k for k, w in enumerate(words) if w and (w[0] in _TIME_NAMES or w[0] in _TIME_UNITS)), None)
    rest = [k for k in range(columns) if k != time]
    numbering = [k for k in rest if (words[k][0] in _INDEX_NAMES if words[k] else k == 0 and (heads or ramp))]
    leads = [k for k in rest if k not in numbering] or rest
    if not leads:
        raise RecordingError(f"{name}: no column but {titles[0]!r}", "a column of samples")
    units = tuple(
        next((u for w in reversed(words[k]) if (u := microvolts(w)) is not None), None) for k in leads
    )
    names = tuple(_lead_name(titles[k], i) for i, k in enumerate(leads))
    unit_s = None if time is None else next((_TIME_UNITS[w] for w in words[time] if w in _TIME_UNITS), None)
    return _Layout(delimiter, decimal_comma, columns, tuple(leads), names, units, time, unit_s, header_rows)


def _words(title: str) -> list[str]:
    title = title.replace("\ufffd", "µ")  # a micro sign in another encoding than UTF-8
    return [word for word in re.split(r"[\s_\[\](){}/,:.\-]+", title.lower()) if word]


def _lead_name(title: str, k: int) -> str:
    """The title without its unit."""
    bare = re.sub(r"[\s_]*[\[(/{]?\s*(?:[nmu\ufffdµμ]?v)\s*[\])}]?\s*$", "", title, flags=re.IGNORECASE)
    return bare.strip() or title.strip() or f"lead {k}"
