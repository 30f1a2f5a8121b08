"""Signal of the beats' band -> humps of its envelope, each a possible heartbeat.

The envelope is amplitude plus slope, summed over about the length of a QRS: one hump per beat. A hump is the
highest point within ``RULE`` samples on either side. Every value comes by the same operations in the same
order (differences, a dot product, shifted maxima), so that results are bit-equal however the signal was cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ecgedge.messages import Floats, Signal32

    Extremes = tuple[tuple[int, float], tuple[int, float]]

# Samples of 5 ms.
_SLOPE = 2  # slope: difference over twice this
SUM = 14
"""The envelope sums over this many samples on either side."""
RULE = 14
"""A hump is the highest of this many samples on either side."""
LOOK = _SLOPE + SUM + RULE
"""Samples that must be there past a hump before it is one."""
_ONES = np.ones(2 * SUM + 1)
_STEEP = 12


@dataclass(eq=False, slots=True)
class Hump:
    """A hump of the envelope; places are samples of the signal from 0, values in its unit."""

    at: int
    height: float
    around: Floats
    """Signal ``LOOK`` on either side."""
    _slope: float | None = None
    _extremes: Extremes | None = None

    @property
    def slope(self) -> float:
        """Of the signal, the steepest within 60 ms."""
        if self._slope is None:  # half of all humps are never asked
            self._slope = self._steepest()
        return self._slope

    def _steepest(self) -> float:
        near = self.around[LOOK - _STEEP - _SLOPE : LOOK + _STEEP + _SLOPE + 1]
        steep = near[2 * _SLOPE :] - near[: -2 * _SLOPE]
        return float(np.maximum.reduce(np.abs(steep, out=steep)))

    @property
    def extremes(self) -> Extremes:
        """Places and values of the highest and the lowest point of the signal within 70 ms."""
        if self._extremes is None:
            self._extremes = self._farthest()
        return self._extremes

    def _farthest(self) -> Extremes:
        near = self.around[LOOK - SUM : LOOK + SUM + 1]
        high, low = int(near.argmax()), int(near.argmin())
        first = self.at - SUM
        return (first + high, float(near[high])), (first + low, float(near[low]))


class Humps:
    """Humps of one stretch, in order."""

    def __init__(self) -> None:
        self.searched = 0
        """All humps before this sample are known; the envelope is, up to ``RULE`` past it."""
        self._signal: Floats = np.zeros(LOOK)  # from LOOK before the next sample to search
        self._envelope: Floats = np.zeros(2 * RULE)
        self._first = -RULE  # place of the first value kept of the envelope
        self._last = -LOOK

    def push(self, signal: Signal32 | Floats, keep: int | None) -> list[Hump]:
        """Take signal, shape (n,), float32 or float64; return the humps that are certain.

        ``keep`` is the earliest hump of former pushes that ``ahead`` will be asked for.
        """
        y = self._signal = np.concatenate((self._signal, signal))
        n = y.size - 2 * LOOK  # so many more samples can be searched
        if n <= 0:
            return []
        slope = y[2 * _SLOPE :] - y[: -2 * _SLOPE]
        np.abs(slope, out=slope)
        envelope = np.correlate(slope + np.abs(y[_SLOPE:-_SLOPE]), _ONES, "valid")
        middle = envelope[RULE:-RULE]
        humps = []
        for i in (middle >= _max29(envelope)).nonzero()[0].tolist():
            # Of a plateau, the first of equals rules; that of silence is none.
            if self.searched + i - self._last > RULE and middle[i] > 0:
                self._last = self.searched + i
                humps.append(Hump(self._last, float(middle[i]), y[i : i + 2 * LOOK + 1].copy()))
        if keep is None:  # as mostly
            self._envelope, self._first = envelope[RULE:], self.searched
        else:
            kept = self._envelope[keep - self._first :]
            self._envelope, self._first = np.concatenate((kept, envelope[2 * RULE :])), keep
        self.searched += n
        self._signal = y[n:]
        return humps

    def ahead(self, hump: Hump, reach: int) -> float:
        """Highest value of the envelope beyond a hump, up to ``reach`` samples past it."""
        i = hump.at - self._first
        return float(self._envelope[i + RULE + 1 : i + reach + 1].max(initial=0.0))


def _max29(x: Floats) -> Floats:
    """Highest of 29 consecutive values; shape (n - 28,)."""
    two = np.maximum(x[1:], x[:-1])
    four = np.maximum(two[2:], two[:-2])
    eight = np.maximum(four[4:], four[:-4])
    sixteen = np.maximum(eight[8:], eight[:-8])
    n = x.size - 28
    return np.asarray(np.maximum(sixteen[:n], sixteen[13 : 13 + n]))
