"""Figures of a beat: its RR intervals, and how like this person's own beats it is.

Columns of the input ``beat-intervals`` of a model that classes beats; ``beat_windows`` cuts the beats.
"""

from __future__ import annotations

from functools import lru_cache
from math import log
from typing import TYPE_CHECKING

import numpy as np

from ecgedge.order import upper_median

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from ecgedge.messages import Floats, Signal32

    Places = npt.NDArray[np.intp]

INTERVALS = (
    "RR before / running median",
    "RR behind / running median",
    "RR before / mean of the four before it",
    "RR before / the one before it",
    "RR before / median of the eight before it",
    "spread of the running RR intervals",
    "running median / 0.8 s",
    "height / running median",
    "P: distance from the template / usual one",
    "QRS: distance from the template / usual one",
    "T: distance from the template / usual one",
    "P: correlation with the template",
    "QRS: correlation with the template",
    "T: correlation with the template",
    "a beat is there",
)
"""Columns of ``beat-intervals``: natural logarithms of ratios, 0 where an interval is unknown (half of them
where a distance is told); the spread is the median change from one RR interval to the next, as a share; the
last is 1, and 0 at an empty place.

A distance is the standard deviation of the difference from the template over a part of the beat, and the
usual one the median over the beats that the template is made of: how far off this person's beats are anyway.
"""
RATIOS = 5
"""So many columns, from the first, are ratios of RR intervals."""
USUAL_RR_S = 0.8
_LIMIT = 1.0  # of the figures of intervals
LOCAL, _NEAR = 4, 8
_EARLY = log(0.85)
"""A beat is early whose RR interval is less than this share of the running median."""
_FEW = 4
"""Where one beat in so many, or fewer, is not early, all count as ordinary."""
TINY = 1e-6
_LITTLE = 0.02
"""Of the template's standard deviation: distances below it are all alike."""


def likeness(
    own: Signal32, usual: Signal32, template: Signal32, scale: float, parts: Sequence[slice]
) -> Floats:
    """Distances and correlations of P, QRS and T of each of ``own``, shape (beats, 6).

    Parameters
    ----------
    own : the beats that are told of, shape (beats, samples)
    usual : those that the template is the median of, shape (n, samples)
    template : shape (samples,)
    scale : its standard deviation
    parts : where P, QRS and T lie in a beat
    """
    n = len(own)
    out = np.empty((n, 6))
    # In one go: what costs is the number of operations, not the few values in each.
    rows = np.concatenate((own, usual, template[None]))
    for k, part in enumerate(parts):
        pieces = _level(rows[:, part])
        wave, mine = pieces[-1], pieces[:n]
        distance = _size(pieces - wave)
        ordinary_one = upper_median(distance[n:-1])
        out[:, k] = (distance[:n] + _LITTLE * scale) / (ordinary_one + _LITTLE * scale)
        size = _size(pieces)
        out[:, 3 + k] = _mean(mine * wave)[:, 0] / (size[:n] * size[-1] + TINY * scale**2)
    out[:, :3] = np.log(out[:, :3]) / 2
    return out.clip(-_LIMIT, _LIMIT, out=out)


def _level(pieces: Signal32) -> Signal32:
    """Pieces of signal, along the last axis, without their mean."""
    return np.asarray(pieces - _mean(pieces))


def _size(pieces: Signal32) -> Signal32:
    """Root mean square along the last axis."""
    return np.asarray(np.sqrt(_mean(pieces * pieces)[..., 0]))


def _mean(pieces: Signal32) -> Signal32:
    """Mean along the last axis, which stays; as ``pieces.mean`` has it, in a third of the time."""
    return np.asarray(np.add.reduce(pieces, axis=-1, keepdims=True) / np.float32(pieces.shape[-1]))


def deviation(values: Signal32) -> float:
    """Standard deviation, as ``values.std()`` has it, in a fifth of the time."""
    n = np.float32(values.size)
    rest = values - np.add.reduce(values) / n
    return float(np.sqrt(np.add.reduce(rest * rest) / n))


def ordinary(latest: Signal32, rr: Floats) -> Signal32:
    """Those of the latest segments, shape (n, samples), whose beat was not early.

    Parameters
    ----------
    rr : logarithms of the RR intervals before the latest beats, in order; the first may have none
    """
    if not rr.size:
        return latest
    late = np.ones(len(latest), dtype=bool)
    known = min(rr.size, len(latest))
    late[len(latest) - known :] = rr[rr.size - known :] >= upper_median(rr) + _EARLY
    return latest[late] if np.count_nonzero(late) * _FEW > len(latest) else latest


def figures(rr: Floats, heights: Floats, n: int) -> Floats:
    """Figures of the last ``n`` beats, shape (n, len(INTERVALS)).

    Parameters
    ----------
    rr : logarithms of the RR intervals between the latest beats, over the usual one, shape (beats - 1,)
    heights : of these beats, unsigned, shape (beats,)
    """
    out = np.zeros((n, len(INTERVALS)))
    out[:, -1] = 1.0
    out[:, 7] = np.log((heights[-n:] + TINY) / (upper_median(heights) + TINY))
    if not rr.size:
        return out.clip(-_LIMIT, _LIMIT)
    middle = upper_median(rr)
    step = np.abs(rr[1:] - rr[:-1])
    missing, k, local, spans = _neighbours(heights.size, n)
    own = rr[k]
    out[missing:, 0] = own - middle
    out[:-1, 1] = rr[heights.size - n :] - middle
    before = np.zeros(heights.size)
    np.cumsum(rr, out=before[1:])
    out[missing:, 2] = own - (before[k] - before[local]) / spans
    out[missing:, 3] = own - rr[k - 1]
    if k.size and not k[0]:  # nor has the first interval one before it
        out[missing, 2:4] = 0.0
    out[missing:, 4] = own - _near_medians(rr, k)
    out[:, 5] = upper_median(step) if step.size else 0.0
    out[:, 6] = middle
    return out.clip(-_LIMIT, _LIMIT)


def _near_medians(rr: Floats, k: Places) -> Floats:
    """Median of up to eight intervals before each of those at ``k``; of none, the interval itself."""
    if k.size and k[0] >= _NEAR:
        return upper_median(np.array([rr[k - back] for back in range(1, _NEAR + 1)]))
    return np.array([upper_median(rr[max(0, j - _NEAR) : j]) if j else rr[0] for j in k])


@lru_cache(maxsize=64)
def _neighbours(beats: int, n: int) -> tuple[int, Places, Places, Places]:
    """Where the last ``n`` of some beats have their intervals.

    Returns
    -------
    How many of them have none, which is 1 for the first beat of a stretch; the places of the interval before
    each, and of the first of up to four before that one; how many these are, but 1 for none.
    """
    missing = int(n == beats)
    k = np.arange(beats - n + missing, beats) - 1
    local = np.maximum(k - LOCAL, 0)
    return missing, k, local, np.maximum(k - local, 1)
