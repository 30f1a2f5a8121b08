"""Arrival times and counts -> the rate of a stream, and whether that has become another."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite

import numpy as np

USUAL_RATES_HZ = (
    *(100.0, 125.0, 128.0, 130.0, 180.0, 200.0, 240.0, 250.0, 256.0, 300.0, 320.0, 360.0, 400.0, 480.0),
    *(500.0, 512.0, 600.0, 800.0, 860.0, 960.0, 1000.0, 1024.0, 2000.0, 2048.0, 4000.0, 8000.0),
)
"""Rates that converters are usually set to; a measured rate within ``SNAP`` of one is taken as that."""
SNAP = 0.01
FLOORS = 10
"""Parts of the time in each of which the earliest arrival is looked for."""
_STUDENT = 2.306  # 97.5 % of Student's t with FLOORS - 2 degrees of freedom

STEP = 0.1
"""A rate that is off by more than this share is another one; less is the unrest of arrival times."""
STEADY = 0.05
"""Both halves of the time agree on the new rate to this share."""
OVER_S = 5.0
"""Arrival time over which a step is looked for."""
LOOK_S = 1.0
"""Time between two looks, of which two in a row must see it."""
CLOSE_S = 0.05
"""Arrivals that follow closer are passed over."""


def measure_rate(arrivals_s: list[float], counts: list[int]) -> float | None:
    """Rate of a stream whose samples arrive late by unknown, uneven delays.

    A sample cannot arrive before it was taken, so all points (arrival, samples so far) lie below one
    line whose slope is the rate. The upper convex hull's edge over the middle of the time span is that
    line; bursts and stalls only add points below it, where they do no harm.

    Parameters
    ----------
    arrivals_s : arrival of each block, seconds, not decreasing
    counts : number of samples received up to and with each block

    Returns
    -------
    Samples per second, snapped to a usual rate within 1 %, otherwise rounded to 0.1 Hz; None where the
    points tell nothing (fewer than two arrival times).
    """
    hull: list[tuple[float, int]] = []
    for t, c in zip(arrivals_s, counts, strict=True):
        if hull and hull[-1][0] == t:
            hull.pop()  # of blocks that came together only the last count is known to be complete
        while len(hull) >= 2:
            (t1, c1), (t2, c2) = hull[-2], hull[-1]
            if (c2 - c1) * (t - t2) > (c - c2) * (t2 - t1):
                break
            hull.pop()
        hull.append((t, c))
    if len(hull) < 2:
        return None
    middle = (hull[0][0] + hull[-1][0]) / 2
    right = max(1, bisect_right([t for t, _ in hull], middle))
    (t1, c1), (t2, c2) = hull[right - 1], hull[right]
    rate = (c2 - c1) / (t2 - t1)
    if not isfinite(rate) or rate <= 0:
        return None
    usual = min(USUAL_RATES_HZ, key=lambda r: abs(r - rate))
    return usual if abs(usual - rate) <= SNAP * usual else max(0.1, round(rate, 1))


@dataclass(frozen=True, slots=True)
class RateFit:
    """A rate measured from arrival times, and how these scatter."""

    rate_hz: float
    error_hz: float
    """Half of its 95 % interval."""
    burst_s: float
    """Median time between arrivals."""
    jitter_s: float
    """Delay behind the earliest arrivals that 95 % keep to."""
    longest_s: float
    """The greatest such delay."""


def fit_rate(arrivals_s: Sequence[float], counts: Sequence[int]) -> RateFit | None:
    """Rate of a stream, not snapped, with its confidence; None where there is too little to tell.

    Delays have a floor that is hit again and again (an idle bus), above which anything may happen. So a
    straight line goes through the earliest arrival of each of ``FLOORS`` parts of the time, and its slope's
    standard error comes from how far they are from it (Student's t with ``FLOORS`` - 2 degrees of freedom).

    Parameters
    ----------
    arrivals_s : arrival of each block, seconds, not decreasing
    counts : number of samples received or lost up to and with each block
    """
    times, n = np.asarray(arrivals_s, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    last = np.append(times[1:] != times[:-1], True) if times.size else np.zeros(0, dtype=bool)
    times, n = times[last], n[last]  # of blocks that came together only the last count is complete
    if times.size < 4 * FLOORS or n[-1] <= n[0]:
        return None
    guess = (n[-1] - n[0]) / (times[-1] - times[0])
    behind = times - times[0] - (n - n[0]) / guess
    part = np.minimum(((times - times[0]) / (times[-1] - times[0]) * FLOORS).astype(int), FLOORS - 1)
    floors = [
        int(np.flatnonzero(part == k)[behind[part == k].argmin()]) for k in range(FLOORS) if (part == k).any()
    ]
    if len(floors) < FLOORS:
        return None
    x, y = n[floors] - n[0], behind[floors]
    x0 = x - x.mean()
    slope = float(x0 @ y / (x0 @ x0))
    residual = y - y.mean() - slope * x0
    error = _STUDENT * float(np.sqrt(residual @ residual / (FLOORS - 2) / (x0 @ x0)))
    period = 1 / guess + slope
    delay = times - times[0] - (n - n[0]) * period
    delay -= delay.min()
    return RateFit(
        1 / period,
        error / period**2,
        float(np.median(np.diff(times))),
        float(np.quantile(delay, 0.95)),
        float(delay.max()),
    )


class RateSteps:
    """Sees the rate of a stream make a step, some ``OVER_S`` + ``LOOK_S`` after it."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """What came so far does not count: there was a gap, or another rate was taken."""
        self._times, self._counts = array("d"), array("q")
        self._next_s = -inf
        self._seen = 0

    def push(self, arrival_s: float, sample: int, rate_hz: float) -> float | None:
        """Take an arrival and the stream sample reached by then; the new rate, where there is one.

        Parameters
        ----------
        rate_hz : by which the stream goes
        """
        times, counts = self._times, self._counts
        if times and arrival_s - times[-1] < CLOSE_S:
            if arrival_s >= times[-1]:
                return None
            self.restart()  # a clock that was set back
            times, counts = self._times, self._counts
        times.append(arrival_s)
        counts.append(sample)
        if arrival_s - times[0] < OVER_S or arrival_s < self._next_s:
            return None
        self._next_s = arrival_s + LOOK_S
        begin = bisect_right(times, arrival_s - OVER_S) - 1
        del times[:begin], counts[:begin]
        average = (counts[-1] - counts[0]) / (times[-1] - times[0])
        if abs(average - rate_hz) <= STEP / 2 * rate_hz:  # as ever: no need to look closely
            self._seen = 0
            return None
        rate = measure_rate(times.tolist(), counts.tolist())
        self._seen = self._seen + 1 if rate is not None and self._is_step(rate, rate_hz) else 0
        return rate if self._seen >= 2 else None

    def _is_step(self, rate: float, before_hz: float) -> bool:
        middle = bisect_right(self._times, (self._times[0] + self._times[-1]) / 2)
        halves = [
            measure_rate(self._times[part].tolist(), self._counts[part].tolist())
            for part in (slice(middle), slice(middle - 1, None))
        ]
        return abs(rate - before_hz) > STEP * before_hz and all(
            half is not None and abs(half - rate) <= STEADY * rate for half in halves
        )
