"""Crops and augmentation of conditioned signal, on the training side only.

A crop gets, in this order: stretch (resampling), a change of gain, polarity, baseline wander, mains, noise of
two colours, noise of real sensors, and cut-out. Every step draws for itself, and one that is off draws
nothing. A gain that stays the same over the crop is left out on purpose: the frontend's z-score undoes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from ecgedge.messages import Signal32
    from ecgedge.training.noise import Noise
    from ecgedge.training.recipe import AugmentationOptions
    from ecgedge.windows import WindowSpec

NOISE_RATE_HZ = 100.0
GAIN_KNOT_S = 5.0
"""A contact's gain changes over seconds, not from beat to beat."""


class Augmenter:
    """One augmented crop of a record at a time.

    Parameters
    ----------
    options : the recipe's ``[augmentation]``
    window : of the model
    noise : what ``sensor_noise`` and ``mains`` mix in
    """

    def __init__(self, options: AugmentationOptions, window: WindowSpec, noise: Noise) -> None:
        self._options, self._noise = options, noise
        self._rate_hz = window.rate_hz
        self._length = round(window.length_s * window.rate_hz)
        self._minimum = round(window.minimum_s * window.rate_hz)

    def __call__(self, signal: Signal32, rng: np.random.Generator) -> Signal32:
        """A new array of at most a window's length, in standard deviations."""
        crop = random_crop(signal, self._length, self._minimum, self._options, rng)
        return augment(crop, self._rate_hz, self._options, rng, self._noise)

    def place(self, size: int, rng: np.random.Generator) -> Place:
        """Where a generator in the same state crops a record of ``size`` samples: that is drawn first."""
        return random_place(size, self._length, self._minimum, self._options, rng)


class Place(NamedTuple):
    """The piece of a record that a crop was made of, in samples."""

    start: int
    source: int
    """Length of the piece."""
    n: int
    """Length of the crop: its samples lie (source - 1) / (n - 1) of the record's apart."""


def random_crop(
    signal: Signal32, length: int, minimum: int, options: AugmentationOptions, rng: np.random.Generator
) -> Signal32:
    """The stretched piece at a ``random_place``."""
    start, source, n = random_place(signal.size, length, minimum, options, rng)
    piece = signal[start : start + source]
    return np.interp(np.linspace(0, source - 1, n), np.arange(source), piece).astype(np.float32)


def random_place(
    size: int, length: int, minimum: int, options: AugmentationOptions, rng: np.random.Generator
) -> Place:
    """A piece that gives at most ``length`` samples when stretched, now and then as few as ``minimum``.

    Stretching by up to +-``stretch`` changes heart rate and wave durations together.
    """
    factor = rng.uniform(1 - options.stretch, 1 + options.stretch)
    wanted = length
    if rng.random() < options.short_crop:
        wanted = int(rng.integers(minimum, length))
    source = min(size, int(wanted * factor))
    start = int(rng.integers(0, size - source + 1))
    return Place(start, source, min(length, int(source / factor)))


def augment(
    signal: Signal32,
    rate_hz: float,
    options: AugmentationOptions,
    rng: np.random.Generator,
    noise: Noise,
) -> Signal32:
    """All steps after the crop; same shape, in standard deviations of the given signal."""
    out: Signal32 = signal - signal.mean()
    out /= out.std() + 1e-6
    if options.gain:
        out *= gain(out.size, rate_hz, options.gain, rng)
    if rng.random() < options.polarity:
        out = -out
    if rng.random() < 0.5:
        frequency, phase = rng.uniform(0.2, 1.0), rng.uniform(0, 2 * np.pi)
        t = np.arange(out.size, dtype=np.float32) * np.float32(2 * np.pi * frequency / rate_hz)
        out += np.float32(rng.uniform(0, options.wander)) * np.sin(t + np.float32(phase))
    if options.mains and rng.random() < 0.5:
        out += np.float32(rng.uniform(0, options.mains)) * noise.draw_mains(out.size, rng)
    if rng.random() < 0.5:
        out += np.float32(rng.uniform(0, options.noise)) * coloured(out.size, rate_hz, rng)
    if rng.random() < options.sensor_noise:
        snr_db = rng.uniform(options.snr_low_db, options.snr_high_db)
        out += at_snr(out, noise.draw_sensor(out.size, rng), snr_db)
    if rng.random() < options.cut_out:
        width = int(rng.uniform(0.01, 0.06) * out.size)
        start = int(rng.integers(0, out.size - width))
        out[start : start + width] = 0.0
    return out


def gain(n: int, rate_hz: float, most: float, rng: np.random.Generator) -> Signal32:
    """A factor for each of ``n`` samples that drifts between 1 - ``most`` and 1 + ``most``."""
    knots = rng.uniform(1 - most, 1 + most, 2 + int(n / (GAIN_KNOT_S * rate_hz)))
    return np.interp(np.linspace(0, knots.size - 1, n), np.arange(knots.size), knots).astype(np.float32)


def coloured(n: int, rate_hz: float, rng: np.random.Generator) -> Signal32:
    """Noise of unit variance: white, or (muscle and electrode noise is not white) shortly averaged.

    It is drawn at ``NOISE_RATE_HZ`` and interpolated: at a higher rate white noise would lie mostly above the
    band that conditioning leaves, where the device never shows any.
    """
    m = n if rate_hz <= NOISE_RATE_HZ else int(n * NOISE_RATE_HZ / rate_hz) + 2
    noise = rng.standard_normal(m, dtype=np.float32)
    if rng.random() < 0.5:
        noise = np.convolve(noise, np.full(5, 0.45, dtype=np.float32), "same")
    if m == n:
        return noise
    return np.interp(np.arange(n) * (NOISE_RATE_HZ / rate_hz), np.arange(m), noise).astype(np.float32)


def at_snr(signal: Signal32, noise: Signal32, snr_db: float) -> Signal32:
    """The noise, without its mean, scaled so that signal and noise have variances in the stated ratio.

    Both are as the model sees them, after conditioning: what the filters remove counts on neither side.
    """
    centred: Signal32 = noise - noise.mean()
    spread = float(centred.std())
    if not spread:
        return centred
    return np.asarray(centred * np.float32(signal.std() / spread * 10 ** (-snr_db / 20)), dtype=np.float32)
