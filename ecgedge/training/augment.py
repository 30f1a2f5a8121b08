"""Crops and augmentation of conditioned signal, on the training side only.

Gain is left out on purpose: the frontend's z-score undoes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ecgedge.messages import Signal32
    from ecgedge.training.recipe import AugmentationOptions


def random_crop(
    signal: Signal32, length: int, minimum: int, options: AugmentationOptions, rng: np.random.Generator
) -> Signal32:
    """A stretched piece of at most ``length`` samples, now and then as short as ``minimum``.

    Stretching by up to +-``stretch`` changes heart rate and wave durations together.
    """
    factor = rng.uniform(1 - options.stretch, 1 + options.stretch)
    wanted = length
    if rng.random() < options.short_crop:
        wanted = int(rng.integers(minimum, length))
    source = min(signal.size, int(wanted * factor))
    start = int(rng.integers(0, signal.size - source + 1))
    n = min(length, int(source / factor))
    piece = signal[start : start + source]
    return np.interp(np.linspace(0, source - 1, n), np.arange(source), piece).astype(np.float32)


def augment(
    signal: Signal32, rate_hz: float, options: AugmentationOptions, rng: np.random.Generator
) -> Signal32:
    """Polarity, baseline wander, noise of two colours and cut-out; same shape."""
    out: Signal32 = signal - signal.mean()
    out /= out.std() + 1e-6
    if rng.random() < options.polarity:
        out = -out
    if rng.random() < 0.5:
        frequency, phase = rng.uniform(0.2, 1.0), rng.uniform(0, 2 * np.pi)
        t = np.arange(out.size, dtype=np.float32) * np.float32(2 * np.pi * frequency / rate_hz)
        out += np.float32(rng.uniform(0, options.wander)) * np.sin(t + np.float32(phase))
    if rng.random() < 0.5:
        noise = rng.standard_normal(out.size, dtype=np.float32)
        if rng.random() < 0.5:  # muscle and electrode noise is not white: a short average makes it pinker
            noise = np.convolve(noise, np.full(5, 0.45, dtype=np.float32), "same")
        out += np.float32(rng.uniform(0, options.noise)) * noise
    if rng.random() < options.cut_out:
        width = int(rng.uniform(0.01, 0.06) * out.size)
        start = int(rng.integers(0, out.size - width))
        out[start : start + width] = 0.0
    return out
