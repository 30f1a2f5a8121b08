"""How a record's samples and header are laid out in WFDB files, for writing."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from ecgedge.messages import Bools, Floats

    Ints = npt.NDArray[np.int32]

RECORDED = "recorded by ecgedge, not a medical device"
"""The comment by which a record of our own recorder is known."""
WIDEST = (1 << 23) - 1
"""Largest value that any format written holds."""
HEADROOM = 4.0
"""So many times what was seen has room, where steps are chosen by a first look."""
_MOST_STEPS = 1000.0


@dataclass(frozen=True, slots=True)
class Format:
    """How samples lie in a file."""

    bits: int
    field: str
    """What a header calls it, with the bytes before the first sample where there are such."""
    suffix: str = ".dat"


FORMATS = {
    "16": Format(16, "16"),
    "24": Format(24, "24"),
    "212": Format(12, "212"),
    "mat": Format(16, "16+24", ".mat"),
}
"""Formats that are written: those of signal(5), and a MATLAB v4 matrix, which is format 16 behind a head."""
MAT_NAME = b"val\0"
"""The variable in a ``.mat`` file, as in the records of the CinC challenges."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How samples are kept in a file."""

    rate_hz: float
    fmt: str
    """Sample format, a key of ``FORMATS``."""
    leads: int = 1
    uv_per_count: float | None = None
    """Microvolt per count; None where unknown."""
    bits: int | None = None
    """Resolution of the converter."""
    steps: tuple[float, ...] = ()
    """Stored steps per count of each lead, empty for 1: only senders of decimals, and of numbers that are
    beyond 24 bits all the time, need others."""
    lead_names: tuple[str, ...] = ()

    @property
    def reach(self) -> int:
        """Largest value that can be stored; the one below its negative means "no sample"."""
        return (1 << (FORMATS[self.fmt].bits - 1)) - 1

    @property
    def per_count(self) -> Floats:
        """Stored steps per count, shape (leads,)."""
        return np.array(self.steps or (1.0,) * self.leads)

    def beyond(self, counts: Floats) -> Bools:
        """Which counts are too large to be stored, same shape."""
        return np.isfinite(counts) & (np.abs(counts) * self.per_count > self.reach)

    def quantise(self, counts: Floats) -> Ints:
        """Values as they are stored, int32; what is not a number or too large becomes "no sample"."""
        known = np.isfinite(counts) & ~self.beyond(counts)
        return np.where(known, np.rint(counts * self.per_count), -self.reach - 1).astype("<i4")

    def pack(self, values: Ints) -> bytes:
        """Bytes of stored values of shape (n, leads); in format 212 an odd number of them ends the file."""
        if FORMATS[self.fmt].bits == 16:
            return values.astype("<i2").tobytes()
        if self.fmt == "212":
            return _pairs(values.reshape(-1))
        return np.ascontiguousarray(values, "<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()

    def head(self, n_samples: int) -> bytes:
        """What stands before the samples of a file that will hold so many frames."""
        if self.fmt != "mat":
            return b""
        # Little-endian 16-bit integers, a row a lead, no imaginary part; stored column by column: frames.
        return struct.pack("<5i", 30, self.leads, n_samples, 0, len(MAT_NAME)) + MAT_NAME


def _pairs(values: Ints) -> bytes:
    """Two values in three bytes: low byte, the upper four bits of both, low byte of the second."""
    even = np.pad(values, (0, len(values) % 2)) & 0xFFF
    low, high = even[0::2], even[1::2]
    triples = np.stack([low & 0xFF, low >> 8 | high >> 8 << 4, high & 0xFF], axis=1).astype(np.uint8)
    data: bytes = triples.tobytes()
    return data[: (3 * len(values) + 1) // 2]


def steps_for(most: float, whole: bool, headroom: float = HEADROOM) -> float:
    """Stored steps per count for a lead.

    Parameters
    ----------
    most : largest magnitude seen
    whole : only whole numbers were; they are kept as they are wherever 24 bits hold them
    headroom : so many times that has room, if it can

    Returns
    -------
    1, or a power of ten: up to a thousand for decimals, less than 1 only for numbers beyond 24 bits.
    """
    if whole and most <= WIDEST:
        return 1.0
    room = WIDEST / headroom / most if most > 0 else _MOST_STEPS
    steps = min(_MOST_STEPS, float(10.0 ** np.floor(np.log10(room))))
    return max(1.0, steps) if most <= WIDEST else steps


def choose_layout(
    counts: Floats,
    rate_hz: float,
    uv_per_count: float | None = None,
    bits: int | None = None,
    lead_names: tuple[str, ...] = (),
) -> Layout:
    """Format 16, or 24 where the board has more than 16 bits or the counts need it.

    Counts that are no integers are stored in steps of a thousandth (coarser where they are large), those
    beyond 24 bits in coarser steps than 1; neither comes from a converter, but text lines may carry them.
    Each lead has steps of its own, and numbers beyond 24 bits count only where most of a lead's are: a few
    are damage, for which the others must not suffer.
    """
    steps, most = [], 0.0
    for lead in counts.T:
        known = lead[np.isfinite(lead)]
        sizes = np.abs(known)
        inside = sizes <= WIDEST
        if 2 * np.count_nonzero(inside) >= len(known):
            largest = float(sizes[inside].max(initial=0.0))
            steps.append(steps_for(largest, bool(np.all(known[inside] == np.rint(known[inside])))))
        else:
            largest = float(np.median(sizes))
            steps.append(steps_for(largest, whole=False))
        most = max(most, largest)
    plain = all(step == 1.0 for step in steps)
    narrow = Layout(rate_hz, "16", counts.shape[1], uv_per_count, bits, (), lead_names)
    if plain and most <= narrow.reach and (bits is None or bits <= 16):
        return narrow
    return replace(narrow, fmt="24", steps=() if plain else tuple(steps))


def header_text(
    name: str,
    layout: Layout,
    n_samples: int | None = None,
    started: datetime | None = None,
    comments: Iterable[str] = (),
    sums: tuple[tuple[int, int], ...] = (),
) -> str:
    """Text of a ``.hea`` file with one file of samples beside it.

    Parameters
    ----------
    n_samples : None leaves it to the size of that file; then ``started`` finds no place
    started : time of the first sample
    sums : first value and sum of the values of each lead, where known
    """
    rate = layout.rate_hz
    record = f"{name} {layout.leads} {int(rate) if rate == int(rate) else repr(rate)}"
    if n_samples is not None:
        record += f" {n_samples}"
        if started is not None:
            record += f" {started:%H:%M:%S}.{started.microsecond // 1000:03d} {started:%d/%m/%Y}"
    if layout.uv_per_count is None:
        gains, unit = layout.per_count, "adu"
    else:
        gains, unit = layout.per_count * 1000.0 / layout.uv_per_count, "mV"
    form = FORMATS[layout.fmt]
    bits = layout.bits or form.bits
    lines = [record]
    for k in range(layout.leads):
        lead = layout.lead_names[k] if k < len(layout.lead_names) else f"lead {k}"
        start, total = sums[k] if sums else (0, 0)
        checksum = (total + 0x8000) % 0x10000 - 0x8000
        kept = f"{name}{form.suffix} {form.field} {float(gains[k])!r}(0)/{unit} {bits}"
        lines.append(f"{kept} 0 {start} {checksum} 0 {lead}")
    lines += [f"# {comment}" for comment in comments]
    return "\n".join(lines) + "\n"


def start_time(header: str) -> datetime | None:
    """When the first sample was taken, as the text of a header tells; None where it does not.

    A time without a zone (the field of the record line has none) is returned without one.
    """
    for line in header.splitlines():
        words = line.lstrip("# ").split()
        with suppress(ValueError):
            if line.startswith("#") and words[:1] == ["started"] and len(words) == 2:
                return datetime.fromisoformat(words[1])
    record = next((line.split() for line in header.splitlines() if line.strip() and line[0] != "#"), [])
    if len(record) < 6:
        return None
    for pattern in ("%H:%M:%S.%f %d/%m/%Y", "%H:%M:%S %d/%m/%Y"):
        with suppress(ValueError):
            return datetime.strptime(f"{record[4]} {record[5]}", pattern)
    return None
