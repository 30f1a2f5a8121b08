"""A window's signal and its beats -> how far it can be trusted, and why.

Three measures make the index, all free of scale, so that millivolt and raw counts are judged alike: how many
beats look like others, how much is left of the signal when the beats are taken out, and how even the peaks
are. Beats may have two shapes, so that bigeminy is no noise. A logistic function of the three was fitted on
the windows (up to 30 s) of CinC 2017 records of the published training list, the noisy class against the
others, and moved so that at most 2 % of the windows of any other class fall below ``GATE``. In five parts by
record, each judged by weights from the other four, 75 % of the noisy windows fall below, and of normal rhythm
1.6 %, AF 1.5 %, other rhythms 2.5 %. Windows of 10 s are held back about as often (1.5 to 3.4 %), but for the
first ten seconds of a recording, where people still move (5 to 9 %).

Further measures (silence between beats, slow and fast noise in the spectrum, flat line, clipping, bridged
gaps) give reasons, and the plain cases among them stop a verdict on their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import exp, log, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgedge.messages import Quality
from ecgedge.order import median

if TYPE_CHECKING:
    import numpy.typing as npt

    from ecgedge.messages import Floats, Window

GATE = 0.5
"""Index below which the window is too noisy for a verdict."""
FLAT_RANGE = 0.01
"""A window whose values span less is a flat line, whether in millivolt or in counts."""
FLAT_SHARE = 0.5
"""Share of the window's seconds that may be flat."""
FILLED_SHARE = 0.05
"""Share of the samples that may bridge gaps."""
CLIPPED_SHARE = 0.1
"""Share of the samples that may be clipped: rhythm survives cut R peaks. CinC 2017 has no clipped record."""
SHORTEST_S = 2.0
LEAST_BEATS = 3
ALIKE = 0.8
"""Correlation from which a beat has the shape of others."""
UNLIKE_SILENCE = 0.40
"""Envelope between the peaks relative to the peaks: beats leave 0.05-0.25, noise and hum 0.4 and more."""
_WEIGHTS = {"offset": 8.83, "alike": -9.65, "residue": 2.24, "unevenness": 1.68}
_BEFORE_S, _AFTER_S = 0.25, 0.45  # reach of a beat around its R peak, P and T wave included
_QRS_S = 0.1
_SMOOTH = np.full(7, 1 / 7)


@dataclass(frozen=True, slots=True)
class Measures:
    """What was measured; every figure is a ratio without unit."""

    alike: float
    """Share of the beats that correlate with one of the window's two commonest shapes by ``ALIKE``."""
    residue: float
    """Amplitude of 1-35 Hz without the beats over the height of the QRS (RMS of the median second)."""
    silence: float
    """Envelope of 5-20 Hz between the beats over that at the beats."""
    baseline: float
    """Amplitude of 0.5-1 Hz over that of 5-20 Hz."""
    unevenness: float
    """Highest over lowest of the peaks in stretches of 1.5 s (95th over 5th percentile)."""
    fast: float
    """Amplitude of 22-40 Hz between the beats over the height of the QRS."""
    flat: float
    """Share of the seconds in which the signal does not move."""


class _Spectrum:
    """Zero-phase bands of a whole window, from one transform."""

    def __init__(self, signal: Floats, rate_hz: float) -> None:
        self._n, self._rate = signal.size, rate_hz
        self._spectrum = np.fft.rfft(signal)

    def band(self, low_hz: float, high_hz: float) -> Floats:
        """The signal's part between two frequencies."""
        part = np.zeros_like(self._spectrum)
        inside = _inside(self._n, self._rate, low_hz, high_hz)
        part[inside] = self._spectrum[inside]
        return np.asarray(np.fft.irfft(part, self._n), dtype=np.float64)

    def rms(self, low_hz: float, high_hz: float) -> float:
        """Its root mean square, by Parseval's theorem."""
        part = self._spectrum[_inside(self._n, self._rate, low_hz, high_hz)]
        return sqrt(2 * float(np.add.reduce(part.real**2 + part.imag**2))) / self._n


@lru_cache(maxsize=64)
def _inside(n: int, rate_hz: float, low_hz: float, high_hz: float) -> slice:
    """The lines of a spectrum of ``n`` samples that make a band."""
    low, high = np.searchsorted(np.fft.rfftfreq(n, 1 / rate_hz), (low_hz, high_hz), "left")
    return slice(int(low), int(high) + 1)


def _rank(values: Floats, share: float) -> float:
    """The value above this share of the others."""
    at = round(share * (values.size - 1))
    return float(np.partition(values, at)[at])


def _frames(signal: Floats, frame: int) -> Floats:
    """Whole stretches of ``frame`` samples, one below the other."""
    return signal[: signal.size // frame * frame].reshape(-1, frame)


def _span(values: npt.NDArray[np.floating[Any]]) -> float:
    return float(values.max() - values.min())


def _median_rms(signal: Floats, frame: int) -> float:
    """Root mean square of the median stretch of ``frame`` samples."""
    frames = _frames(signal, frame)
    return float(median(np.sqrt(np.add.reduce(frames * frames, axis=1) / frame)))


def _shapes(beats: Floats, qrs: slice) -> tuple[float, Floats, float]:
    """Share of beats that have one of two shapes, each beat's shape, and the height of the commoner QRS.

    A shape is the median of the beats that resemble the one with the most look-alikes; the second is sought
    among the beats that the first leaves over. A beat that has neither is given the first.
    """
    unit = beats[:, qrs]
    unit = unit - np.add.reduce(unit, axis=1, keepdims=True) / unit.shape[1]
    unit /= np.maximum(np.sqrt(np.add.reduce(unit * unit, axis=1, keepdims=True)), 1e-30)
    related = unit @ unit.T > ALIKE
    free = np.ones(len(beats), dtype=bool)
    models = np.empty_like(beats)
    height = 0.0
    for turn in range(2):
        partners = np.where(free, np.add.reduce(related & free, axis=1, dtype=np.intp), -1)
        centre = int(partners.argmax())
        enough = partners[centre] >= LEAST_BEATS
        if turn and not enough:
            break
        group = related[centre] & free if enough else free
        shape = median(beats[group])
        direction = shape[qrs] - np.add.reduce(shape[qrs]) / (qrs.stop - qrs.start)
        alike = unit @ direction > ALIKE * sqrt(float(direction @ direction))
        if turn:
            models[alike & free] = shape
        else:
            models[:] = shape
            height = _span(shape[qrs])
        free &= ~alike
        if not free.any():
            break
    return 1.0 - np.count_nonzero(free) / free.size, models, height


def measure(window: Window, times_s: Floats) -> Measures:
    """Measure a window of at least ``SHORTEST_S`` that is not flat.

    Parameters
    ----------
    window : conditioned signal
    times_s : R peaks inside the window, in order, shape (n,), stream seconds
    """
    rate = window.rate_hz
    signal = window.signal.astype(np.float64)
    spectrum = _Spectrum(signal, rate)
    seconds = _frames(signal, round(rate))
    ranges = seconds.max(axis=1) - seconds.min(axis=1)
    flat = np.count_nonzero(ranges < 0.005 * _rank(ranges, 0.9)) / ranges.size

    envelope = np.convolve(np.abs(spectrum.band(5.0, 20.0)), _SMOOTH, "same")
    heights = _frames(envelope, round(1.5 * rate)).max(axis=1)
    typical = max(float(median(heights)), 1e-30)

    shape_band = spectrum.band(1.0, 35.0)
    before, after, qrs = round(_BEFORE_S * rate), round(_AFTER_S * rate), round(_QRS_S * rate)
    at = np.rint((times_s - window.time_s) * rate).astype(np.intp)
    at = at[(at >= before) & (at < signal.size - after)]
    alike, rest = 0.0, shape_band
    if at.size >= LEAST_BEATS:
        places = at[:, None] + np.arange(-before, after)
        alike, models, height = _shapes(shape_band[places], slice(before - qrs, before + qrs + 1))
        beats = np.zeros(signal.size)
        beats[places] = models  # in order: where the next beat begins, the one before ends
        rest = shape_band - beats
    else:
        height = _span(shape_band)
    height = max(height, 1e-30)
    return Measures(
        alike=alike,
        residue=_median_rms(rest, round(rate)) / height,
        silence=_rank(envelope, 0.3) / typical,
        baseline=spectrum.rms(0.5, 1.0) / max(spectrum.rms(5.0, 20.0), 1e-30),
        unevenness=_rank(heights, 0.95) / max(_rank(heights, 0.05), 1e-6 * typical),
        fast=_median_rms(spectrum.band(22.0, 40.0), round(0.2 * rate)) / height,
        flat=flat,
    )


def _index(m: Measures) -> float:
    w = _WEIGHTS
    noisy = (
        w["offset"]
        + w["alike"] * m.alike
        + w["residue"] * log(min(max(m.residue, 0.02), 2.0))
        + w["unevenness"] * log(min(m.unevenness, 30.0))
    )
    return 1.0 / (1.0 + exp(noisy))


def _share(x: float) -> str:
    return f"{100 * x:.0f} %" if x >= 0.01 else f"{100 * x:.1f} %"


def assess(window: Window, times_s: Floats, *, clipped: float = 0.0, mains: str = "") -> Quality:
    """Judge one window of conditioned signal (0.5-40 Hz).

    Parameters
    ----------
    window : to judge
    times_s : R peaks inside the window, in order, shape (n,), stream seconds
    clipped : share (0-1) of the raw samples at an end of the converter's range, see ``clipping``
    mains : what the raw signal holds of the mains, in words, where that is high; the conditioned signal has
        little of it left, so it is a reason that moves neither index nor verdict

    Returns
    -------
    The index (0 useless, 1 clean), the reasons worst first, and whether a verdict should be read.
    """
    if window.seconds < SHORTEST_S or window.signal.size < SHORTEST_S * window.rate_hz:
        return Quality(0.0, ("too short to judge",), usable=False)
    if not bool(np.isfinite(window.signal).all()):
        return Quality(0.0, ("values that are no numbers",), usable=False)
    if _span(window.signal) < FLAT_RANGE:
        return Quality(0.0, ("flat line",), usable=False)
    m = measure(window, times_s)
    index = _index(m)
    beatless = m.silence > UNLIKE_SILENCE or times_s.size < LEAST_BEATS
    # (how bad: 1 and more is told, what to say, whether it alone makes the window useless)
    found = [
        (m.flat / 0.1, f"flat line for {_share(m.flat)} of the window", m.flat > FLAT_SHARE),
        (
            window.filled / 0.01,
            f"{_share(window.filled)} of the samples bridge gaps",
            window.filled > FILLED_SHARE,
        ),
        (
            clipped / 0.001,
            f"{_share(clipped)} of the samples clipped (amplifier or converter at its limit)",
            clipped > CLIPPED_SHARE,
        ),
        (1.0 if beatless else 0.0, "no heartbeats to be seen", beatless),
        (1.0 if index < GATE else 0.0, "too noisy to read", index < GATE and not beatless),
        (m.residue / 0.15, "noise between the beats", False),
        (m.baseline / 2.5, "baseline wander", False),
        (m.fast / 0.04, "fast noise (muscle or mains)", False),
        (log(m.unevenness) / log(5.0), "bursts of noise or motion", False),
        (1.0 if mains else 0.0, mains, False),
        (0.3 if m.alike > 0.7 else 0.7 / max(m.alike, 0.01), "beats that do not resemble each other", False),
    ]
    fatal = sorted((f for f in found if f[2]), key=lambda f: -f[0])
    rest = sorted((f for f in found if not f[2] and f[0] >= 1), key=lambda f: -f[0])
    index *= (1 - min(1.0, window.filled / FILLED_SHARE) / 2) * (1 - min(1.0, m.flat))
    reasons = tuple(text for _, text, _ in fatal + rest)
    return Quality(min(index, 0.1) if fatal else index, reasons, usable=not fatal)
