"""One record of a recording session, and where it lies in the stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecgedge.recordings.annotations import NOTE, Annotation

if TYPE_CHECKING:
    from ecgedge.messages import Floats, Segment
    from ecgedge.recordings.fit import Fit
    from ecgedge.recordings.writer import RecordWriter

SETTLED_S = 1.0
"""Annotations further back than this are written; later news about older samples rewrites the file."""


class Part:
    """A record in the making, and where it lies in the stream."""

    def __init__(self, writer: RecordWriter, segment: Segment, fit: Fit, first: int, until: int) -> None:
        self.writer, self.segment, self.fit, self.first, self.until = writer, segment, fit, first, until
        self.leads_off = False
        self.closed = False

    @property
    def last(self) -> int:
        """One past its last stream sample."""
        return self.first + self.writer.samples.n

    def covers(self, sample: int) -> bool:
        return self.first <= sample and (not self.closed or sample < self.last)

    def annotate(self, sample: int, symbol: str, aux: str = "") -> None:
        # Readers take a note at sample 0 for a definition of the file.
        at = max(sample - self.first, 1 if symbol == NOTE else 0)
        self.writer.annotations.add(Annotation(at, symbol, aux=aux))

    def append(self, counts: Floats) -> None:
        """Take samples; each number that cannot be kept is told in a note."""
        for row, lead in zip(*self.writer.layout.beyond(counts).nonzero(), strict=True):
            name = f" of lead {lead}" if counts.shape[1] > 1 else ""
            text = f"left out: {counts[row, lead]:.12g}{name}, beyond the range of the record"
            self.annotate(self.last + int(row), NOTE, text)
        self.writer.samples.append(counts)

    def settled(self, newest: int) -> float:
        return newest - self.first - SETTLED_S * self.segment.rate_hz
