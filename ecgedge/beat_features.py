"""Beats of a window, and the person -> small rows of numbers that a net takes beside the signal.

Which features those are is told of EfficientECG (Deng, Li, Luo and Wu, arXiv 2512.03804): R peaks, P waves,
age and sex. Their form is our own, for int8: every value lies within about +-``MOST_LOG``, or within the
z-score's clip, or is 0 or 1. What is not known has a value of its own, never a missing one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ecgedge.messages import Context, Floats, Person, Signal32

MOST_LOG = 1.2
"""Intervals from 0.3 to 3.3 s, and heights from 0.3 to 3.3 times the median, are told apart."""
SEXES = ("f", "m")


def rr_series(context: Context, points: int) -> Signal32:
    """The rhythm as two rows of ``points`` values, shape (2, points), float32.

    Row 0: natural logarithm of the RR intervals, seconds. Row 1: that of the QRS heights over their median,
    whatever their sign. Both are clipped to +-``MOST_LOG``. Each series is spread over its row in order, the
    nearest value at every point, so that no value is a mixture of two beats. A row of which there is nothing
    to tell (fewer than two beats; no beat) is zero, which is a steady 60 beats a minute.
    """
    out = np.zeros((2, points), dtype=np.float32)
    heights = np.abs(context.heights)
    middle = float(np.median(heights)) if heights.size else 0.0
    for row, ratios in enumerate((np.diff(context.times_s), heights / middle if middle else heights[:0])):
        if ratios.size:
            logs = np.log(np.maximum(ratios, math.exp(-MOST_LOG)))
            out[row] = np.minimum(logs, MOST_LOG)[_spread(ratios.size, points)]
    return out


def p_waves(signal: Signal32, context: Context, beats: int, samples: int, onset: int) -> Signal32:
    """Where P waves are: the signal before up to ``beats`` QRS, shape (beats, samples), float32.

    The QRS is taken to begin ``onset`` samples before its R peak; no onset is searched for. Of more beats
    than there are rows, evenly spread ones are taken. Rows without a beat, behind the others, are zero, and
    a beat whose piece begins before the window has none.

    Parameters
    ----------
    signal : the window's z-score, shape (n,)
    """
    out = np.zeros((beats, samples), dtype=np.float32)
    places = np.rint(context.times_s * context.rate_hz).astype(np.int64) - onset
    places = places[(places >= samples) & (places <= signal.size)]
    if places.size > beats:
        places = places[_spread(places.size, beats)]
    for row, end in enumerate(places):
        out[row] = signal[end - samples : end]
    return out


def age_row(person: Person, bucket_years: int, buckets: int) -> Signal32:
    """One 1 among zeros, shape (1, 1 + buckets), float32: first "unknown", then buckets; the last is open."""
    known = person.age is not None and person.age >= 0
    at = 1 + min(int(person.age // bucket_years), buckets - 1) if known and person.age is not None else 0
    return _one(at, 1 + buckets)


def sex_row(person: Person) -> Signal32:
    """One 1 among zeros, shape (1, 3), float32: unknown, female, male."""
    return _one(0 if person.sex is None else 1 + SEXES.index(person.sex), 1 + len(SEXES))


def _spread(n: int, points: int) -> Floats:
    """Indices of ``points`` of ``n`` values from the first to the last, evenly."""
    return np.asarray(np.arange(points) * (n - 1) // max(1, points - 1))


def _one(at: int, n: int) -> Signal32:
    row = np.zeros((1, n), dtype=np.float32)
    row[0, at] = 1.0
    return row
