"""WFDB records: the header text, the sample formats 16, 24, 80 and 212, and MATLAB v4 matrices.

Layouts after the WFDB manual pages header(5) and signal(5), and the MAT-file format description
(level 4). Samples are read piece by piece, so a day-long record needs no more memory than a short one.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from ecgedge.errors import RecordingError

if TYPE_CHECKING:
    import numpy.typing as npt

    from ecgedge.messages import Floats

    Ints = npt.NDArray[np.int32]

FORMAT_BITS = {"16": 16, "24": 24, "80": 8, "212": 12}
"""Sample formats that are read, with their width in bits; the most negative value means "no sample"."""
MAX_COUNT = 2**23 - 1
"""Counts are kept within 24 bits, so that every recording can also be replayed as frames."""

_DEFAULT_RATE_HZ = 250.0
_DEFAULT_GAIN = 200.0
_PIECE = 8192  # frames read at once; even, so that format 212 is cut between byte triples
_MICROVOLT = {"nv": 1e-3, "uv": 1.0, "µv": 1.0, "μv": 1.0, "mv": 1e3, "v": 1e6}
_MAT_TYPES = {0: "f8", 1: "f4", 2: "i4", 3: "i2", 4: "u2", 5: "u1"}
_FORMAT = re.compile(r"(\d+)(?:x(\d+))?(?::(\d+))?(?:\+(\d+))?")
_GAIN = re.compile(r"([-+]?[\d.]+(?:[eE][-+]?\d+)?)(?:\(([-+]?\d+)\))?(?:/(\S+))?")
_RATE = re.compile(r"([\d.]+(?:[eE][-+]?\d+)?)(?:/.*)?")


@dataclass(frozen=True, slots=True)
class Signal:
    """One lead as the header describes it."""

    file_name: str
    fmt: str
    """Sample format, a key of ``FORMAT_BITS``."""
    offset: int
    """Bytes before the first sample."""
    gain: float
    """Counts per ``units``."""
    baseline: int
    """Count at zero."""
    units: str
    bits: int
    """Resolution of the converter."""
    name: str

    @property
    def uv_per_count(self) -> float | None:
        """Microvolt per count; None where the units are no voltage."""
        factor = microvolts(self.units)
        return None if factor is None else factor / self.gain


@dataclass(frozen=True, slots=True)
class Header:
    """A whole WFDB header."""

    name: str
    rate_hz: float
    n_samples: int | None
    """Samples per lead; None where the header leaves it to the length of the file."""
    signals: tuple[Signal, ...]
    comments: tuple[str, ...]
    """The lines after ``#``, stripped."""


def microvolts(units: str) -> float | None:
    """Microvolt in one ``units``; None where that is no voltage."""
    return _MICROVOLT.get(units.strip().lower())


def parse_header(text: str, name: str = "header") -> Header:
    """Read the text of a ``.hea`` file.

    Parameters
    ----------
    text : the whole file
    name : what error messages call it

    Raises
    ------
    RecordingError
        Where the text is no header, or describes what is not supported (several segments, several
        samples per frame, skew, other sample formats).
    """
    lines = [line.strip() for line in text.splitlines()]
    comments = tuple(line.lstrip("#").strip() for line in lines if line.startswith("#"))
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines:
        raise RecordingError(f"{name}: no record line", "a WFDB header")
    record = lines[0].split()
    if "/" in record[0]:
        raise RecordingError(f"{name}: a record of several segments", "a record of one segment")
    try:
        n_signals = int(record[1])
        rate = _matched(_RATE, record[2]).group(1) if len(record) > 2 else _DEFAULT_RATE_HZ
        rate_hz = float(rate)
        n_samples = int(record[3]) if len(record) > 3 else 0
    except (IndexError, ValueError):
        wanted = "record name, number of signals, sampling rate, number of samples"
        raise RecordingError(f"{name}: record line {lines[0][:80]!r}", wanted) from None
    if not (np.isfinite(rate_hz) and rate_hz > 0 and n_samples >= 0 and n_signals >= 0):
        raise RecordingError(f"{name}: record line {lines[0][:80]!r}", "positive numbers")
    if len(lines) - 1 < n_signals:
        raise RecordingError(f"{name}: {len(lines) - 1} signal lines", f"{n_signals}")
    signals = tuple(_parse_signal(line, name, k) for k, line in enumerate(lines[1 : 1 + n_signals]))
    return Header(record[0], rate_hz, n_samples or None, signals, comments)


def _matched(pattern: re.Pattern[str], text: str) -> re.Match[str]:
    match = pattern.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return match


def _parse_signal(line: str, name: str, k: int) -> Signal:
    """One signal line; every field after the format may be left out."""
    field = line.split(None, 8)
    field += [""] * (9 - len(field))
    try:
        fmt, per_frame, skew, offset = _matched(_FORMAT, field[1]).groups()
        gain, baseline, units = _matched(_GAIN, field[2] or "0").groups()
        zero = int(field[4] or 0)
        bits = int(field[3] or 0)
        signal = Signal(
            file_name=field[0],
            fmt=fmt,
            offset=int(offset or 0),
            gain=float(gain) or _DEFAULT_GAIN,  # 0 stands for "not calibrated"
            baseline=zero if baseline is None else int(baseline),
            units=units or "mV",
            bits=bits if bits > 0 else FORMAT_BITS.get(fmt, 0),
            name=field[8].strip() or f"lead {k}",
        )
    except ValueError:
        wanted = "file name, format, gain(baseline)/units, resolution, zero, ..."
        raise RecordingError(f"{name}: signal line {line[:80]!r}", wanted) from None
    if fmt not in FORMAT_BITS:
        raise RecordingError(f"{name}: sample format {fmt}", f"one of {', '.join(FORMAT_BITS)}")
    if int(per_frame or 1) != 1 or int(skew or 0) != 0:
        raise RecordingError(
            f"{name}: signal {k} has several samples per frame or a skew",
            "one sample of each signal per frame, without skew",
            "Convert the record with xform of the WFDB software.",
        )
    return signal


def read_mat4(data: bytes, name: str = "matrix") -> npt.NDArray[Any]:
    """The first matrix of a MATLAB v4 file, shape (rows, columns); CinC 2017: (leads, samples), int16.

    Raises
    ------
    RecordingError
        Where the bytes are no little-endian, full, real v4 matrix, or fewer than it says.
    """
    dtype, rows, columns, offset = mat4_layout(data, name)
    size = rows * columns * dtype.itemsize
    if len(data) < offset + size:
        raise RecordingError(f"{name}: {len(data)} bytes", f"{offset + size} bytes for {rows} x {columns}")
    values = np.frombuffer(data, dtype, rows * columns, offset)
    return values.reshape((rows, columns), order="F")


def mat4_layout(start: bytes, name: str) -> tuple[np.dtype[Any], int, int, int]:
    """Type, rows, columns and offset of the first value of a v4 file's first matrix."""
    expected = "a MATLAB v4 file of one real matrix"
    if start.startswith(b"MATLAB 5.0") or start[1:4] == b"HDF":
        raise RecordingError(f"{name}: a newer MATLAB file", expected, "Save it with -v4.")
    if len(start) < 20:
        raise RecordingError(f"{name}: {len(start)} bytes", expected)
    kind, rows, columns, imaginary, name_length = struct.unpack_from("<5i", start)
    number_type = _MAT_TYPES.get(kind // 10)
    if kind < 0 or number_type is None or kind % 10 or imaginary or not 0 < name_length <= 64:
        raise RecordingError(f"{name}: MATLAB type {kind}", expected)
    if rows < 1 or columns < 1:
        raise RecordingError(f"{name}: a matrix of {rows} x {columns}", expected)
    return np.dtype("<" + number_type), rows, columns, 20 + name_length


def common_scale(signals: tuple[Signal, ...]) -> tuple[float | None, Floats]:
    """One microvolt-per-count for all leads, and the factor that brings each lead's counts to it.

    Where all leads share one gain the factors are 1 and counts stay as they are; otherwise they are
    brought to the finest common step that keeps every lead within 24 bits. Leads that are no voltage
    keep their counts.
    """
    steps = np.array([signal.uv_per_count or 0.0 for signal in signals], np.float64)
    reach = np.array([2.0 ** (FORMAT_BITS[s.fmt] - 1) - 1 + abs(s.baseline) for s in signals])
    factors = np.ones(len(signals))
    volts = steps != 0
    if not volts.any():
        return None, factors
    first = float(steps[volts][0])
    if first > 0 and bool(np.all(steps[volts] == first)) and float(reach[volts].max()) <= MAX_COUNT:
        return float(np.float32(first)), factors
    finest = float(np.max(np.abs(steps[volts]) * reach[volts])) / MAX_COUNT
    common = float(np.nextafter(np.float32(finest), np.float32(np.inf)))
    factors[volts] = steps[volts] / common
    return common, factors


def count_frames(size: int, signals: tuple[Signal, ...]) -> int:
    """How many whole frames the samples of ``signals`` fill in a file of ``size`` bytes."""
    bits = max(size - signals[0].offset, 0) * 8
    return bits // (FORMAT_BITS[signals[0].fmt] * len(signals))


def groups(signals: tuple[Signal, ...]) -> list[tuple[Signal, ...]]:
    """The signals by the file that holds them.

    Raises
    ------
    RecordingError
        Where signals of one file differ in format, or stand apart in the header.
    """
    found = [tuple(group) for _, group in groupby(signals, key=lambda signal: signal.file_name)]
    if len({group[0].file_name for group in found}) < len(found):
        raise RecordingError("signals of one file stand apart in the header", "signals in file order")
    for group in found:
        if len({(signal.fmt, signal.offset) for signal in group}) > 1:
            raise RecordingError(f"{group[0].file_name}: several sample formats", "one format per file")
    return found


def pieces(header: Header, n_samples: int, opener: Callable[[str], BinaryIO]) -> Iterator[Floats]:
    """Counts minus baseline of all leads, in pieces of shape (n, n_signals); NaN marks "no sample".

    Raises
    ------
    RecordingError
        Where a file ends early.
    """
    files = groups(header.signals)
    streams: list[BinaryIO] = []
    try:
        for group in files:
            streams.append(opener(group[0].file_name))
            _skip(streams[-1], group[0].offset)
        baselines = np.array([signal.baseline for signal in header.signals], np.float64)
        for start in range(0, n_samples, _PIECE):
            n = min(_PIECE, n_samples - start)
            parts = [_read(stream, group, n) for stream, group in zip(streams, files, strict=True)]
            yield np.concatenate(parts, axis=1) - baselines
    finally:
        for stream in streams:
            stream.close()


def _skip(stream: BinaryIO, n: int) -> None:
    while n > 0:
        got = len(stream.read(min(n, 1 << 16)))
        if not got:
            return
        n -= got


def _read(stream: BinaryIO, group: tuple[Signal, ...], n: int) -> Floats:
    """The next ``n`` frames of one file, shape (n, signals in that file)."""
    fmt, width = group[0].fmt, len(group)
    size = (n * width * FORMAT_BITS[fmt] + 7) // 8
    data = stream.read(size)
    if len(data) < size:
        missing = f"{group[0].file_name}: the file ends early"
        raise RecordingError(missing, "as many samples as its header says", "Copy the file again.")
    counts = decode(data, fmt, n * width)
    values = counts.astype(np.float64)
    values[counts == -(1 << (FORMAT_BITS[fmt] - 1))] = np.nan
    return values.reshape(n, width)


def decode(data: bytes, fmt: str, n: int) -> Ints:
    """The first ``n`` samples of ``data`` in a sample format, int32."""
    if fmt == "16":
        return np.frombuffer(data, "<i2", n).astype(np.int32)
    raw = np.frombuffer(data, np.uint8).astype(np.int32)
    if fmt == "80":
        return raw[:n] - 128
    if fmt == "24":
        triples = raw[: 3 * n].reshape(n, 3)
        return _signed(triples[:, 0] | triples[:, 1] << 8 | triples[:, 2] << 16, 24)
    raw = np.append(raw, np.zeros(-len(raw) % 3, np.int32)).reshape(-1, 3)
    low = raw[:, 0] | (raw[:, 1] & 0x0F) << 8
    high = raw[:, 2] | (raw[:, 1] & 0xF0) << 4
    return _signed(np.stack([low, high], axis=1).reshape(-1)[:n], 12)


def _signed(values: Ints, bits: int) -> Ints:
    sign = 1 << (bits - 1)
    return (values ^ sign) - sign
