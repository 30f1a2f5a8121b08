"""A window's signal and its beats -> which way up the ECG is.

In leads I and II of most people the QRS, the T wave and the P wave point up. None of them does so always: the
QRS turns with the heart's axis and in bundle branch block, the T wave in ischaemia, the P wave with its
origin, and is missing in atrial fibrillation. So each gives a vote with a weight, seen on the median beat,
and of three windows the middle vote counts. The vote is odd: an ECG turned over has the opposite one.

The weights were fitted on leads I and II of LUDB (400 signals of 200 people, taken as the right way up). At
``SURE`` one window tells 90 % of these when they are turned over, and 2 % as they are (weights from half of
the people, told of the other half). Of CinC 2017's normal training records 76 % are told turned over, and
16 % as they came: the recorder is held in both hands, so some did come upside down.
"""

from __future__ import annotations

from collections import deque
from math import inf, tanh
from typing import TYPE_CHECKING

import numpy as np

from ecgedge import order

if TYPE_CHECKING:
    from ecgedge.messages import Floats, Window

LEAST_BEATS = 5
SURE = 1.0
"""Vote, up (positive) or down (negative), from which something is said."""
WINDOWS = 3
"""Windows whose median vote counts, once there are so many."""

_QRS, _T, _P = 2.6, 1.5, 1.7
_T_HEIGHT, _P_HEIGHT = 0.25, 0.12  # over the span of the QRS: what is higher counts little more
_BEFORE_S, _AFTER_S = 0.30, 0.50


def median_beat(window: Window, times_s: Floats) -> Floats | None:
    """Median shape around the R peaks, zero before the QRS; None with too few whole beats.

    Parameters
    ----------
    window : conditioned signal
    times_s : R peaks inside the window, shape (n,), stream seconds
    """
    before, after = round(_BEFORE_S * window.rate_hz), round(_AFTER_S * window.rate_hz)
    at = np.rint((times_s - window.time_s) * window.rate_hz).astype(int)
    at = at[(at >= before) & (at < window.signal.size - after)]
    if at.size < LEAST_BEATS:
        return None
    beats = window.signal[at[:, None] + np.arange(-before, after)].astype(np.float64)
    level = slice(round(0.18 * window.rate_hz), round(0.25 * window.rate_hz))  # between P wave and QRS
    beats -= order.median(beats[:, level].T)[:, None]
    return order.median(beats)


def vote(window: Window, times_s: Floats) -> float | None:
    """How clearly the waves point up (positive) or down (negative); None with too few beats.

    Parameters
    ----------
    window : conditioned signal
    times_s : R peaks inside the window, in order, shape (n,), stream seconds
    """
    beat = median_beat(window, times_s)
    if beat is None:
        return None
    rate, rr_s = window.rate_hz, float(order.median(times_s[1:] - times_s[:-1]))

    def part(begin_s: float, end_s: float) -> Floats:
        """Piece of the beat, by seconds after the R peak."""
        return beat[round((_BEFORE_S + begin_s) * rate) : round((_BEFORE_S + end_s) * rate)]

    def farthest(x: Floats) -> float:
        return float(x[np.abs(x).argmax()])

    qrs, p_wave = part(-0.05, 0.07), part(-0.22, -0.08)
    t_wave = part(0.16, min(0.45, max(0.6 * rr_s, 0.2)))
    high, low = float(qrs.max()), float(qrs.min())
    span = high - low
    if span <= 0:
        return None
    return (
        _QRS * (high + low) / span
        + _T * tanh(farthest(t_wave) / (_T_HEIGHT * span))
        + _P * tanh(farthest(p_wave) / (_P_HEIGHT * span))
    )


class Polarity:
    """Watches the windows of a stream; says when the ECG looks upside down, and when no longer."""

    def __init__(self) -> None:
        self._up: bool | None = None
        self._votes: deque[float] = deque(maxlen=WINDOWS)
        self._seen_s = -inf  # end of the last window looked at

    def look(self, window: Window, times_s: Floats) -> str:
        """Take the next full window and its R peaks (seconds); return a notice, empty where there is no news.

        A window that overlaps the last one looked at would tell the same once more, and is left out.
        """
        if window.time_s < self._seen_s - 1e-6:
            return ""
        self._seen_s = window.time_s + window.seconds
        return self.push(vote(window, times_s))

    def push(self, vote: float | None) -> str:
        """Take the vote of a window; return a notice, empty where there is no news.

        A first clear window is believed; what was said is taken back by the median of ``WINDOWS`` only.
        """
        if vote is None:
            return ""
        self._votes.append(vote)
        middle = order.middle(self._votes)
        first = self._up is None
        if abs(middle) < SURE or (middle > 0) is self._up or (not first and len(self._votes) < WINDOWS):
            return ""
        self._up = middle > 0
        if self._up:
            return "" if first else "the ECG is the right way up again"
        return (
            "the ECG looks upside down (QRS, T and P wave point down on the whole): the electrodes may be "
            "swapped. Swap the two, or ignore it; beats do not depend on it"
        )
