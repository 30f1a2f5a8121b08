"""Premature beats made from ordinary ones: more persons with an early beat than the annotated sets have.

An ordinary beat with its P and T wave is lifted off the baseline, set down earlier on what is there (so that
an early P wave rides on the T wave before it, as in nature), its P wave changed in height or turned over, as
of an ectopic focus. What follows comes up by a part of the advance: a pause that is less than compensatory.
Only the rhythm and the P wave tell such a beat; its QRS is an ordinary one.

After a beat was moved by less than a twelfth of the interval, the window still counts as one without: so that
it is prematurity that is learnt, and not the traces of this procedure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ecgedge.messages import Floats, Signal32

BEFORE_S, AFTER_S = 0.28, 0.42
"""The piece that is moved, about its R peak."""
EARLY = (0.5, 0.85)
"""Interval before a premature beat, as a share of the ordinary one."""
HARDLY = (0.92, 1.0)
"""The same of a beat that still counts as ordinary."""
SHORTEST_S = 0.3
TAPER_S = 0.04
P_ENDS_S = 0.08
"""Before the R peak: what lies earlier in the piece is P wave."""
RESET = (0.0, 0.9)
"""How much of the advance the following beats share."""
RAGGED = 0.12
"""Intervals that differ by more of their median are no ground to tell an early beat from an ordinary one."""


@dataclass(frozen=True)
class Advance:
    """How one beat is moved; samples."""

    peak: int
    earlier: int
    cut: int
    """What follows comes up by this much."""
    p_gain: float


def choose(
    beats: Floats, rate_hz: float, share: tuple[float, float], rng: np.random.Generator
) -> Advance | None:
    """Pick a beat of even surroundings and how far it moves; None where no beat will do.

    Parameters
    ----------
    beats : R peaks of ordinary beats in a row, samples
    share : least and most of the interval before it that is left
    """
    if beats.size < 5:
        return None
    intervals = np.diff(beats)
    even = np.abs(intervals / np.median(intervals) - 1) < RAGGED
    # The beat itself, two intervals before it and one after it are even.
    fine = np.flatnonzero(even[:-2] & even[1:-1] & even[2:]) + 2
    if not fine.size:
        return None
    k = int(rng.choice(fine))
    interval = int(intervals[k - 1])
    left = max(int(SHORTEST_S * rate_hz), int(interval * rng.uniform(*share)))
    earlier = interval - left
    if earlier <= 0:
        return None
    cut = int(earlier * rng.uniform(*RESET)) if share == EARLY else 0
    p_gain = rng.uniform(0.5, 1.3) * (1.0 if rng.random() < 0.6 else -1.0)
    return Advance(int(beats[k]), earlier, cut, p_gain if share == EARLY else 1.0)


def moved(signal: Signal32, rate_hz: float, advance: Advance) -> Signal32:
    """The signal with that beat advanced; ``cut`` samples shorter. The beat lies wholly inside."""
    first, last = _piece(signal.size, rate_hz, advance)
    line = np.linspace(signal[first], signal[last - 1], last - first, dtype=np.float32)
    wave = (signal[first:last] - line) * _taper(last - first, rate_hz)
    p_ends = advance.peak - first - int(P_ENDS_S * rate_hz)
    gain = np.interp(
        np.arange(wave.size), [p_ends, p_ends + TAPER_S * rate_hz], [advance.p_gain, 1.0]
    )  # slides to 1 before the QRS
    out = signal.copy()
    out[first:last] = line
    out[first - advance.earlier : last - advance.earlier] += (wave * gain).astype(np.float32)
    return _without(out, last, advance)


def moved_weights(weights: Signal32, rate_hz: float, advance: Advance, elsewhere: float) -> Signal32:
    """The same for a curve of attention, where the greater value stands."""
    first, last = _piece(weights.size, rate_hz, advance)
    piece = weights[first:last].copy()
    out = weights.copy()
    out[first:last] = elsewhere
    target = slice(first - advance.earlier, last - advance.earlier)
    out[target] = np.maximum(out[target], piece)
    return _without(out, last, advance)


def room(beats: Floats, size: int, rate_hz: float) -> Floats:
    """The beats whose piece lies wholly inside, wherever they move to."""
    inside: Floats = beats[(beats >= (BEFORE_S + 1.0) * rate_hz) & (beats < size - AFTER_S * rate_hz - 1)]
    return inside


def _piece(size: int, rate_hz: float, advance: Advance) -> tuple[int, int]:
    first = max(advance.earlier, advance.peak - int(BEFORE_S * rate_hz))
    return first, min(size, advance.peak + int(AFTER_S * rate_hz))


def _without(out: Signal32, last: int, advance: Advance) -> Signal32:
    """Leave ``cut`` samples out where the beat was and is no more."""
    return np.concatenate((out[: last - advance.cut], out[last:]))


def _taper(n: int, rate_hz: float) -> Signal32:
    edge = int(TAPER_S * rate_hz)
    out = np.ones(n, dtype=np.float32)
    out[:edge] = np.linspace(0, 1, edge, endpoint=False)
    out[n - edge :] = out[:edge][::-1]
    return out
