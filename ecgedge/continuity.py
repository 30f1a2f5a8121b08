"""Samples and gaps -> stretches of one lead without a break longer than what may be bridged.

Whatever is not there (lost, electrode off, not a number) is one missing run between two good samples.
A run of up to ``bridge_s`` is bridged by a straight line and marked; a longer one ends the stretch, so
that no filter ever sees across it.
"""

from __future__ import annotations

from itertools import pairwise
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np

from ecgedge import leads
from ecgedge.errors import UsageError
from ecgedge.messages import Gap, GapCause, Piece, SampleBlock, Segment, Stretch, StretchEnd

if TYPE_CHECKING:
    from ecgedge.messages import Floats

Out = Stretch | Piece | StretchEnd | Gap


class Continuity:
    """One lead's stretches.

    Parameters
    ----------
    lead : which column of the blocks, from 0, or what the board calls it
    bridge_s : longest missing run that is bridged, seconds

    Raises
    ------
    UsageError
        From the constructor if the bridge is no length; from ``push`` of a segment, which changes nothing
        then, if its board has no such lead.
    """

    def __init__(self, lead: int | str = 0, bridge_s: float = 0.5) -> None:
        if not (isfinite(bridge_s) and bridge_s >= 0):
            raise UsageError(f"a bridge of {bridge_s} s", "0 or more seconds")
        self._lead = lead
        self.column = 0
        """Where the lead stands in the blocks of the present segment."""
        self._bridge_s = bridge_s
        self._segment: Segment | None = None
        self._scale = 1.0
        self._next = 0  # stream sample that comes next
        self._inside = False  # a stretch is open
        self._good_end = 0  # one past the last good sample of the stretch
        self._last = 0.0  # its value
        self._cause: GapCause | None = None  # of the run of bad samples that is still growing
        self._cause_first = 0

    @property
    def bridge(self) -> int:
        """Most samples that are bridged at the rate of the present segment."""
        return int(self._bridge_s * self._segment.rate_hz) if self._segment else 0

    def push(self, message: Segment | SampleBlock | Gap) -> list[Out]:
        """Take what the clock gave; return what is certain."""
        if isinstance(message, SampleBlock):
            return self._block(message)
        if isinstance(message, Gap):
            out = self._close_cause()
            self._next = message.first + message.n
            return [*out, message, *self._end_if_long()]
        self.column = leads.column(message.board, self._lead)
        out = self._close_cause() + self._end()
        self._segment = message
        self._next = message.first
        scale = message.board.uv_per_count
        self._scale = 1.0 if scale is None else scale / 1000.0
        return out

    def finish(self) -> list[Out]:
        """Close what is open."""
        return self._close_cause() + self._end()

    def _block(self, block: SampleBlock) -> list[Out]:
        if self._segment is None:
            raise ValueError("a block came before any segment")  # a fault of the caller, not of a user
        values = block.counts[:, self.column] * self._scale
        if not block.leads_off and isfinite(np.dot(values, values)):  # then all of them are
            return self._good(block.first, values)
        good = np.zeros(block.n, dtype=bool) if block.leads_off else np.isfinite(values)
        out: list[Out] = []
        cause: GapCause = "leads_off" if block.leads_off else "lost"
        edges = np.flatnonzero(np.diff(good)) + 1
        bounds = [0, *edges.tolist(), block.n]
        for start, stop in pairwise(bounds):
            if good[start]:
                out += self._good(block.first + start, values[start:stop])
            else:
                out += self._bad(block.first + start, stop - start, cause)
        return out

    def _good(self, first: int, values: Floats) -> list[Out]:
        """A run of good samples: continue the stretch (over a bridge if need be) or open one."""
        segment = self._segment
        assert segment is not None
        out = self._close_cause()
        if values.size == 0:
            return out
        n = first - self._good_end if self._inside else 0
        if self._inside:
            if n:
                steps = np.arange(1, n + 1) / (n + 1)
                bridge = self._last + (float(values[0]) - self._last) * steps
                values = np.concatenate((bridge, values))
                first = self._good_end
        else:
            in_mv = segment.board.uv_per_count is not None
            out.append(Stretch(first, self._time_s(first), segment.rate_hz, in_mv))
            self._inside = True
        out.append(Piece(first, values, n))
        self._good_end = self._next = first + values.size
        self._last = float(values[-1])
        return out

    def _bad(self, first: int, n: int, cause: GapCause) -> list[Out]:
        out: list[Out] = []
        if cause != self._cause:
            out = self._close_cause()
            self._cause, self._cause_first = cause, first
        self._next = first + n
        return out + self._end_if_long()

    def _close_cause(self) -> list[Out]:
        """Tell of a finished run of bad samples."""
        if self._cause is None:
            return []
        assert self._segment is not None
        first, n = self._cause_first, self._next - self._cause_first
        gap = Gap(first, n, self._time_s(first), n / self._segment.rate_hz, self._cause)
        self._cause = None
        return [gap]

    def _end_if_long(self) -> list[Out]:
        return self._end() if self._next - self._good_end > self.bridge else []

    def _end(self) -> list[Out]:
        if not self._inside:
            return []
        self._inside = False
        return [StretchEnd(self._good_end)]

    def _time_s(self, sample: int) -> float:
        assert self._segment is not None
        return self._segment.time_s + (sample - self._segment.first) / self._segment.rate_hz
