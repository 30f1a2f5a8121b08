"""Whole recordings at another rate: a linear-phase polyphase filter (Kaiser-windowed sinc).

Oppenheim & Schafer, *Discrete-Time Signal Processing*, ch. 4 and 7. The filter is 6 dB down at the lower
Nyquist frequency, flat to a tenth of it below and 60 dB down a tenth above, so what folds back stays in that
band. Output sample k belongs to input position ``k * rate_in / rate_out``: nothing is delayed.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil, pi
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ecgedge.messages import Bools, Floats

_ATTENUATION_DB = 60.0
_KAISER_BETA = 0.1102 * (_ATTENUATION_DB - 8.7)
_TRANSITION = 0.2  # of the lower Nyquist frequency
_MAX_PHASES = 2000


def resample(signal: Floats, rate_in_hz: float, rate_out_hz: float) -> Floats:
    """The recording at another rate.

    Parameters
    ----------
    signal : shape (n, leads); NaN marks samples that are missing
    rate_in_hz, rate_out_hz : samples per second before and after

    Returns
    -------
    resampled : shape (ceil(n * rate_out / rate_in), leads), NaN where the nearest input sample is missing
    """
    if rate_in_hz == rate_out_hz or not signal.size:
        return signal.copy()
    step = (Fraction(rate_in_hz) / Fraction(rate_out_hz)).limit_denominator(_MAX_PHASES)
    taps = _taps(step, min(1.0, rate_out_hz / rate_in_hz))
    half = taps.shape[1] // 2
    n = ceil(len(signal) / step)
    k = np.arange(n, dtype=np.int64)
    position = k * step.numerator // step.denominator
    nearest = np.minimum(
        (2 * k * step.numerator + step.denominator) // (2 * step.denominator), len(signal) - 1
    )
    out = np.empty((n, signal.shape[1]))
    for lead in range(signal.shape[1]):
        missing = np.isnan(signal[:, lead])
        padded = np.pad(_filled(signal[:, lead], missing), half, mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)
        for phase in range(min(step.denominator, n)):
            rows = position[phase :: step.denominator]
            out[phase :: step.denominator, lead] = windows[rows] @ taps[phase]
        out[missing[nearest], lead] = np.nan
    return out


def _taps(step: Fraction, band: float) -> Floats:
    """One row for each distinct fractional position; ``band``: lower Nyquist frequency over that of input."""
    half = ceil((_ATTENUATION_DB - 8) / (2.285 * _TRANSITION * band * pi) / 2)
    offsets = np.arange(-half, half + 1, dtype=np.float64)
    taps = np.empty((step.denominator, offsets.size))
    for phase in range(step.denominator):
        at = offsets - float(phase * step % 1)
        window = np.i0(_KAISER_BETA * np.sqrt(np.clip(1 - (at / (half + 1)) ** 2, 0, None)))
        row = np.sinc(band * at) * window
        taps[phase] = row / row.sum()
    return taps


def _filled(lead: Floats, missing: Bools) -> Floats:
    """The lead with straight lines over what is missing."""
    if not missing.any():
        return lead
    if missing.all():
        return np.zeros_like(lead)
    at = np.arange(lead.size)
    return np.interp(at, at[~missing], lead[~missing])
