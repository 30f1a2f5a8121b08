"""Raw samples -> how many of them lie at the end of the amplifier's or converter's range.

Where that end is, few sources tell, so it is looked for in the signal: a cut signal stays at its highest or
lowest value for some samples at a time, several times, and is seldom close below. That is asked of the raw
samples, because filters round the corners off. A T wave's top under a coarse converter reaches other values
as often; samples held several times over stay at every value as long; a line of zeros is one long run.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ecgedge.messages import Bools, Floats, Window

SHORTEST_RUN_S = 0.012
LONGEST_RUN_S = 0.5
"""A longer run is a flat line, wherever it lies; it does not count as one of ``LEAST_RUNS``."""
LEAST_RUNS = 3
NEAR = 0.03
"""Neighbourhood of the highest and of the lowest value, as a share of the range."""
PILED = 2.0
"""Samples in runs at the end of the range over those in its neighbourhood."""
_PIECES = 16  # that wait at most to be joined to the others: in one go they cost less
LEAST_LEVELS = 50
"""Steps of the converter that the signal must span: with fewer, flat tops are the rule."""


def clipped_share(values: Floats, rate_hz: float) -> float:
    """Share (0-1) of raw samples that lie at an end of the range.

    Parameters
    ----------
    values : raw samples of one lead, shape (n,), any unit, finite
    rate_hz : samples per second
    """
    if not values.size:
        return 0.0
    shortest = max(3, ceil(SHORTEST_RUN_S * rate_hz))
    low, high = float(values.min()), float(values.max())
    # Most signals are through here: too few samples at either end for the shortest runs.
    if max(map(np.count_nonzero, (values == high, values == low))) < LEAST_RUNS * shortest:
        return 0.0
    starts = np.concatenate(([0], np.flatnonzero(values[1:] != values[:-1]) + 1))
    if starts.size < 2 * LEAST_RUNS:
        return 0.0
    lengths = np.diff(starts, append=values.size)
    levels = values[starts]
    reach = NEAR * (high - low)
    if high - low < LEAST_LEVELS * float(np.abs(np.diff(levels)).min()):
        return 0.0
    held = int(np.partition(lengths, lengths.size // 2)[lengths.size // 2])
    shortest = max(shortest, 2 * held + 1)
    share = 0.0
    for at_end, near in ((levels == high, levels >= high - reach), (levels == low, levels <= low + reach)):
        runs: Bools = at_end & (lengths >= shortest) & (lengths <= LONGEST_RUN_S * rate_hz)
        piled = int(lengths[runs].sum())
        if np.count_nonzero(runs) >= LEAST_RUNS and piled >= PILED * int(lengths[near & ~at_end].sum()):
            share += int(lengths[at_end].sum()) / values.size
    return share


class Clipping:
    """Keeps the raw samples of one stretch for the windows that end in them.

    Parameters
    ----------
    time_s : stream time of the stretch's first sample, seconds
    rate_hz : samples per second
    kept_s : how far a window that is still to come may reach back, seconds
    """

    def __init__(self, time_s: float, rate_hz: float, kept_s: float) -> None:
        self._time_s, self._rate = time_s, rate_hz
        self._keep = ceil(kept_s * rate_hz)
        self._values: Floats = np.empty(0)
        self._base = 0  # position of the first value kept
        self._fresh: list[Floats] = []  # behind these

    def push(self, values: Floats) -> None:
        """Take raw values, shape (n,); all of them stay until the next push at least."""
        self._fresh.append(values)
        if len(self._fresh) > _PIECES:
            self._join()

    def _join(self) -> None:
        drop = max(0, self._values.size - self._keep)
        self._values = np.concatenate((self._values[drop:], *self._fresh))
        self._base += drop
        self._fresh = []

    def share(self, window: Window) -> float:
        """Share (0-1) of a window's raw samples that are clipped."""
        if self._fresh:
            self._join()
        begin = round((window.time_s - self._time_s) * self._rate)
        end = begin + round(window.seconds * self._rate)
        return clipped_share(self._values[max(0, begin - self._base) : end - self._base], self._rate)
