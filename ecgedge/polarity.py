"""A window's signal and its beats -> which way up the ECG is.

In leads I and II of most people R and T wave point up. Where both point down, the electrodes are most
likely swapped. A QRS that points down alone says little: so it does in other leads and in bundle branch
block, but there the T wave points the other way. Seen on the median beat, no single beat decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ecgedge.messages import Floats, Window

LEAST_BEATS = 8
QRS = 0.25
"""Highest minus lowest excursion, over their span, from which the QRS points one way (-1 to 1)."""
T_WAVE = 0.08
"""Height of the T wave over the span of the QRS from which it points one way."""
P_WAVE = 0.08
"""The same for a P wave, which, upright, speaks against swapped electrodes."""
REPEATED = 3
"""Windows in a row that must say the same before a change is told."""

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
    beats = window.signal.astype(np.float64)[at[:, None] + np.arange(-before, after)]
    level = slice(round(0.18 * window.rate_hz), round(0.25 * window.rate_hz))  # between P wave and QRS
    beats -= np.median(beats[:, level], axis=1, keepdims=True)
    return np.asarray(np.median(beats, axis=0))


def points_up(window: Window, times_s: Floats) -> bool | None:
    """Whether R and T wave point up (True) or down (False); None where they disagree or do not tell."""
    beat = median_beat(window, times_s)
    if beat is None:
        return None
    rate, rr_s = window.rate_hz, float(np.median(np.diff(times_s)))

    def part(begin_s: float, end_s: float) -> Floats:
        """Piece of the beat, by seconds after the R peak."""
        return beat[round((_BEFORE_S + begin_s) * rate) : round((_BEFORE_S + end_s) * rate)]

    def farthest(x: Floats) -> float:
        return float(x[np.abs(x).argmax()])

    qrs, t_wave = part(-0.05, 0.07), part(0.16, min(0.45, max(0.6 * rr_s, 0.2)))
    p_wave = part(-0.22, -0.08)
    high, low = float(qrs.max()), float(qrs.min())
    span = high - low
    if span <= 0:
        return None
    if high + low > QRS * span and farthest(t_wave) > T_WAVE * span:
        return True
    upright_p = farthest(p_wave) > P_WAVE * span
    if high + low < -QRS * span and farthest(t_wave) < -T_WAVE * span and not upright_p:
        return False
    return None


class Polarity:
    """Watches the windows of a stream; says when the ECG looks upside down, and when no longer."""

    def __init__(self) -> None:
        self._up: bool | None = None
        self._other = 0

    def push(self, up: bool | None) -> str:
        """Take the finding of the next full window; return a notice, empty where there is no news.

        The first window that tells is believed; later changes must be seen ``REPEATED`` times in a row.
        """
        if up is None or up is self._up:
            self._other = 0
            return ""
        self._other += 1
        first = self._up is None
        if not first and self._other < REPEATED:
            return ""
        self._up, self._other = up, 0
        if up:
            return "" if first else "the ECG is the right way up again"
        return (
            "the ECG looks upside down (R and T wave point down): swap the two electrodes, or ignore it; "
            "beats do not depend on it"
        )
