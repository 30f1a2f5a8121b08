"""The augmentation of ECG-DualNet: eight steps in a fixed order, each with the same probability.

After C. Reich and J. Kruk's report and implementation (TU Darmstadt 2021; Rohr et al., Physiol. Meas. 2022).
The implementation works on counts of the converter and takes the z-score afterwards, so that *scale* does
nothing and *sine* next to nothing, multiplies by a triangle where it resamples at random, and draws the phase
of *sine* from one radian of the circle. ``faithful`` keeps all that; otherwise the z-score comes first, as
the report describes it, and again (the device's own) last.

Two things differ in either case. Records longer than the window begin anywhere, where the original takes
their start (faithful: their start); and no step changes the stored record, which the original escapes only
by working in copies of the process. Times in samples of 300 Hz are the same times at the model's rate.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy import signal as scipy_signal

from ecgedge.datasets import cinc2017
from ecgedge.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ecgedge.messages import Floats, Signal32
    from ecgedge.training.recipe import PublishedOptions
    from ecgedge.windows import WindowSpec

    Step = Callable[[Floats, np.random.Generator], Floats]

CUTOUT, DROP = 0.05, 0.03  # shares of the record
OFFSETS, FURTHEST = 12, 0.075  # FURTHEST in half lengths of the record
STRETCH, SCALE = (0.8, 1.2), (0.85, 1.15)
SHIFT_S = 4000 / 300.0
SINE_MOST, SINE_HZ = 0.3, (0.2, 1.0)
BAND_ORDER, BAND_HZ = 10, (0.2, 45.0)


class Published:
    """One augmented record (or a window's length of it) at a time.

    Parameters
    ----------
    options : the recipe's ``[published_augmentation]``
    window : of the model

    Raises
    ------
    DataError
        If the rate is too low for the band-pass.
    """

    def __init__(self, options: PublishedOptions, window: WindowSpec) -> None:
        if window.rate_hz <= 2 * BAND_HZ[1]:
            raise DataError(
                f"[published_augmentation] at {window.rate_hz:g} Hz", f"a rate above {2 * BAND_HZ[1]:g} Hz"
            )
        self._options = options
        self._length = round(window.length_s * window.rate_hz)
        faithful, rate = options.faithful, window.rate_hz
        sections = scipy_signal.butter(BAND_ORDER, BAND_HZ, "bandpass", output="sos", fs=rate)
        self.steps: dict[str, Step] = {
            "cutout": cutout,
            "drop": drop,
            "random_resample": partial(random_resample, taper=faithful),
            "resample": resample,
            "scale": scale,
            "shift": partial(shift, rate_hz=rate),
            "sine": partial(sine, rate_hz=rate, phases=1.0 if faithful else 2 * np.pi),
            "band_pass": partial(band_pass, sections=sections),
        }

    def __call__(self, signal: Signal32, rng: np.random.Generator) -> Signal32:
        """A new array of at most a window's length: z-scores, or counts (``faithful``)."""
        faithful = self._options.faithful
        spare = max(0, signal.size - self._length)
        start = 0 if faithful else int(rng.integers(0, spare + 1))
        values = signal[start : start + self._length].astype(np.float64)
        if faithful:
            values *= cinc2017.COUNTS_PER_MV
        else:
            values = (values - values.mean()) / (values.std(ddof=1) + 1e-8)
        for step in self.steps.values():
            if rng.random() < self._options.p:
                values = step(values, rng)[: self._length]
        return values.astype(np.float32)


def cutout(x: Floats, rng: np.random.Generator) -> Floats:
    """One interval of 5 % of the record set to 0."""
    n = int(CUTOUT * x.size)
    start = int(rng.integers(0, x.size - n + 1))
    out = x.copy()
    out[start : start + n] = 0.0
    return out


def drop(x: Floats, rng: np.random.Generator) -> Floats:
    """3 % of the samples, but one at least, set to 0."""
    out = x.copy()
    out[rng.choice(x.size, max(1, int(DROP * x.size)), replace=False)] = 0.0
    return out


def random_resample(x: Floats, rng: np.random.Generator, taper: bool = False) -> Floats:
    """The time axis bent by offsets that are joined by straight lines; linear sampling, same length.

    ``taper`` multiplies by 0.5 at both ends rising to 1 in the middle: the original samples in two
    dimensions, between the record and a row of zeros beside it.
    """
    axis = np.linspace(-1.0, 1.0, x.size)
    knots = rng.uniform(-FURTHEST, FURTHEST, OFFSETS)
    bent = np.clip(axis + np.interp(axis, np.linspace(-1.0, 1.0, OFFSETS), knots), -1.0, 1.0)
    weight = 1.0 - 0.5 * np.abs(axis) if taper else np.ones(x.size)
    return np.asarray(np.interp(bent, axis, x) * weight, dtype=np.float64)


def resample(x: Floats, rng: np.random.Generator) -> Floats:
    """Linear interpolation to 0.8-1.2 times as many samples."""
    n = int(rng.uniform(*STRETCH) * x.size)
    return np.asarray(np.interp(np.linspace(0, x.size - 1, n), np.arange(x.size), x))


def scale(x: Floats, rng: np.random.Generator) -> Floats:
    """Times 0.85-1.15."""
    return x * rng.uniform(*SCALE)


def shift(x: Floats, rng: np.random.Generator, rate_hz: float) -> Floats:
    """Zeros in front: less than 4000 samples of 300 Hz, and less than the record has."""
    most = min(round(SHIFT_S * rate_hz), x.size)
    return np.concatenate((np.zeros(int(rng.integers(0, most))), x))


def sine(x: Floats, rng: np.random.Generator, rate_hz: float, phases: float) -> Floats:
    """Plus a sine of 0.2-1 Hz and an amplitude of up to 0.3; its phase is 0 to ``phases`` radian."""
    amplitude, hz, phase = rng.uniform(0, SINE_MOST), rng.uniform(*SINE_HZ), rng.uniform(0, phases)
    wave = np.sin(2 * np.pi * hz * np.arange(x.size) / rate_hz + phase)
    return np.asarray(x + amplitude * wave, dtype=np.float64)


def band_pass(x: Floats, rng: np.random.Generator, sections: Floats) -> Floats:
    """Butterworth of order 10, 0.2-45 Hz, one way, from rest. Nothing is drawn."""
    return np.asarray(scipy_signal.sosfilt(sections, x), dtype=np.float64)
