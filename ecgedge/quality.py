"""A window's signal -> how far it can be trusted, and why.

All measures but one are free of scale, so millivolt and raw counts are judged alike: how much two beats
resemble each other, how quiet it is between beats, how even the beats' height is, how much slow and how
much fast noise there is. The index is a logistic function of four of them; its weights were fitted on
CinC 2017 records of the published training list (noisy class against the others) and are fixed here.
The index ranks; ``usable`` is False in plain cases only, so that it does not take rhythms for noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log
from typing import TYPE_CHECKING

import numpy as np

from ecgedge.messages import Quality

if TYPE_CHECKING:
    from ecgedge.messages import Bools, Floats, Window

FLAT_RANGE = 0.01
"""A window whose values span less is a flat line, whether in millivolt or in counts."""
FLAT_SHARE = 0.5
"""Share of the window's seconds that may be flat."""
FILLED_SHARE = 0.05
"""Share of the samples that may bridge gaps."""
SHORTEST_S = 2.0
UNLIKE_SILENCE = 0.40
"""Envelope between the peaks relative to the peaks: beats leave 0.05-0.25, noise and hum 0.4 and more."""
NOISE_SILENCE, NOISE_AGREEMENT = 0.27, 0.30
"""Noise of any colour stays between 0.3 and 0.4, but then its peaks do not resemble each other."""
_WEIGHTS = {"offset": 1.42, "agreement": -5.5, "silence": 6.34, "baseline": 0.87, "unevenness": 2.55}


@dataclass(frozen=True, slots=True)
class Measures:
    """What was measured; every figure is a ratio without unit."""

    agreement: float
    """Median correlation of the beats with their median shape, -1 to 1."""
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


def _band(signal: Floats, rate_hz: float, low_hz: float, high_hz: float) -> Floats:
    """Zero-phase band-pass of the whole window, which is short."""
    spectrum = np.fft.rfft(signal)
    frequency = np.fft.rfftfreq(signal.size, 1 / rate_hz)
    spectrum[(frequency < low_hz) | (frequency > high_hz)] = 0
    return np.asarray(np.fft.irfft(spectrum, signal.size), dtype=np.float64)


def _rms(signal: Floats) -> float:
    return float(np.sqrt(np.mean(np.square(signal))))


def _ranges(signal: Floats, frame: int) -> Floats:
    frames = signal[: signal.size // frame * frame].reshape(-1, frame)
    return np.asarray(np.ptp(frames, axis=1), dtype=np.float64)


def _peaks(envelope: Floats, typical: float, rate_hz: float) -> list[int]:
    """Local maxima that stand out and rule 0.2 s on either side."""
    reach = round(0.2 * rate_hz)
    padded = np.pad(envelope, reach, constant_values=-1.0)
    highest = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1).max(axis=1)
    is_peak: Bools = (envelope >= highest) & (envelope > 0.4 * typical)
    return [int(i) for i in np.flatnonzero(is_peak)]


def measure(window: Window) -> Measures:
    """Measure a window of at least ``SHORTEST_S`` that is not flat."""
    rate = window.rate_hz
    signal = window.signal.astype(np.float64)
    second = round(rate)
    ranges = _ranges(signal, second)
    flat = float(np.mean(ranges < 0.005 * np.percentile(ranges, 90)))

    beats_band = _band(signal, rate, 5.0, 20.0)
    envelope = np.convolve(np.abs(beats_band), np.full(7, 1 / 7), "same")
    frame = round(1.5 * rate)
    heights = envelope[: envelope.size // frame * frame].reshape(-1, frame).max(axis=1)
    typical = max(float(np.median(heights)), 1e-30)
    low, high = np.percentile(heights, [5, 95])
    silence = float(np.percentile(envelope, 30)) / typical

    shape_band = _band(signal, rate, 1.0, 35.0)
    reach, qrs = round(0.2 * rate), round(0.08 * rate)
    peaks = [p for p in _peaks(envelope, typical, rate) if reach <= p < signal.size - reach]
    agreement = 0.0
    height = float(np.ptp(shape_band))
    if len(peaks) >= 3:
        at = np.array(peaks)[:, None]
        beats = shape_band[at + np.arange(-reach, reach + 1)]
        beats = beats - beats.mean(axis=1, keepdims=True)
        median = np.median(beats, axis=0)
        norms = np.linalg.norm(beats, axis=1) * np.linalg.norm(median)
        agreement = float(np.median((beats * median).sum(axis=1) / np.maximum(norms, 1e-30)))
        height = float(np.median(np.ptp(shape_band[at + np.arange(-qrs, qrs + 1)], axis=1)))
    frame = round(0.2 * rate)
    fast = _band(signal, rate, 22.0, 40.0)
    fast_rms = np.sqrt(np.mean(np.square(fast[: fast.size // frame * frame].reshape(-1, frame)), axis=1))
    return Measures(
        agreement=agreement,
        silence=silence,
        baseline=_rms(_band(signal, rate, 0.5, 1.0)) / max(_rms(beats_band), 1e-30),
        unevenness=float(high) / max(float(low), 1e-6 * typical),
        fast=float(np.median(fast_rms)) / max(height, 1e-30),
        flat=flat,
    )


def _index(m: Measures) -> float:
    w = _WEIGHTS
    noisy = (
        w["offset"]
        + w["agreement"] * m.agreement
        + w["silence"] * min(m.silence, 1.0)
        + w["baseline"] * log(min(max(m.baseline, 1e-3), 1e3))
        + w["unevenness"] * log(min(m.unevenness, 1e3))
    )
    return 1.0 / (1.0 + exp(noisy))


def _share(x: float) -> str:
    return f"{100 * x:.0f} %" if x >= 0.01 else f"{100 * x:.1f} %"


def assess(window: Window, mains: str = "") -> Quality:
    """Judge one window of conditioned signal (0.5-40 Hz).

    Parameters
    ----------
    window : to judge
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
    if float(np.ptp(window.signal)) < FLAT_RANGE:
        return Quality(0.0, ("flat line",), usable=False)
    m = measure(window)
    beatless = m.silence > UNLIKE_SILENCE or (m.silence > NOISE_SILENCE and m.agreement < NOISE_AGREEMENT)
    # (how bad: 1 and more is told, what to say, whether it alone makes the window useless)
    found = [
        (m.flat / 0.1, f"flat line for {_share(m.flat)} of the window", m.flat > FLAT_SHARE),
        (
            window.filled / 0.01,
            f"{_share(window.filled)} of the samples bridge gaps",
            window.filled > FILLED_SHARE,
        ),
        (1.0 if beatless else 0.0, "no heartbeats to be seen", beatless),
        (0.5 * m.silence / 0.12, "noise between the beats", False),
        (m.baseline / 2.5, "baseline wander", False),
        (m.fast / 0.04, "fast noise (muscle or mains)", False),
        (log(m.unevenness) / log(5.0), "bursts of noise or motion", False),
        (1.0 if mains else 0.0, mains, False),
        (0.4 / max(m.agreement, 0.01), "beats that do not resemble each other", False),
    ]
    fatal = sorted((f for f in found if f[2]), key=lambda f: -f[0])
    rest = sorted((f for f in found if not f[2] and f[0] >= 1), key=lambda f: -f[0])
    index = _index(m) * (1 - min(1.0, window.filled / FILLED_SHARE) / 2) * (1 - min(1.0, m.flat))
    reasons = tuple(text for _, text, _ in fatal + rest)
    return Quality(min(index, 0.1) if fatal else index, reasons, usable=not fatal)
