"""Counts and arrival times -> whether samples really arrive at the rate that a stream goes by.

A board that declares 250 samples a second and takes 262 makes every interval 5 % too long, and nothing in the
signal shows it. Arrival times do, over a minute, in spite of all jitter. Crystals are off by 0.01 %, ceramic
resonators by 0.5 %: from ``OFF`` on something is wrong.
"""

from __future__ import annotations

from array import array

from ecgedge.messages import Segment
from ecgedge.rate import fit_rate

OVER_S = 60.0
"""Arrival time over which a rate is measured."""
EVERY_S = 0.05
"""Arrivals that follow closer are passed over."""
OFF = 0.015
REPEATED = 2
"""So many minutes in a row say the same before it is told."""


class PaceWatch:
    """Measures a stream's pace, minute after minute."""

    def __init__(self) -> None:
        self._segment: Segment | None = None
        self._times, self._counts = array("d"), array("q")
        self._told = False
        self._differs = 0

    def begin(self, segment: Segment) -> None:
        """From here on, another rate may hold."""
        self._segment, self._told, self._differs = segment, False, 0
        self._times, self._counts = array("d"), array("q")

    def push(self, arrival_s: float, sample: int) -> str:
        """Take an arrival and the stream sample reached by then; return a notice, empty without news."""
        since_s = arrival_s - self._times[-1] if self._times else EVERY_S
        if 0 <= since_s < EVERY_S:
            return ""
        if since_s < 0:  # nobody's clock: the minute begins anew
            self._times, self._counts = array("d"), array("q")
        self._times.append(arrival_s)
        self._counts.append(sample)
        if self._segment is None or arrival_s - self._times[0] < OVER_S:
            return ""
        fit = fit_rate(self._times, self._counts)
        self._times, self._counts = array("d"), array("q")
        if fit is None:
            return ""
        rate = self._segment.rate_hz
        apart = abs(fit.rate_hz - rate)
        off = apart > OFF * rate and apart > 2 * fit.error_hz
        self._differs = self._differs + 1 if off != self._told else 0
        if self._differs < REPEATED:
            return ""
        self._told, self._differs = off, 0
        if not off:
            return f"samples arrive at {rate:g} a second again"
        per_cent = 100 * (fit.rate_hz / rate - 1)
        return (
            f"samples arrive at {fit.rate_hz:.1f} a second, not {rate:g} ({self._segment.source}): all times "
            f"and heart rates are wrong by {per_cent:+.1f} %. Mend the board's timing, or give --fs"
        )
