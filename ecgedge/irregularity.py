"""Beats of a window -> how much their rhythm looks like atrial fibrillation, from RR intervals alone.

Sixteen figures of the RR series feed a net of one hidden layer whose weights ship in
``bundles/irregularity.json``. It was fitted on the rhythm and beat annotations of the MIT-BIH AF Database
and on CinC 2017 training records (``python -m ecgedge.training.irregularity``). Among the figures are the
match counts of sample entropy (Richman and Moorman, Am. J. Physiol. 278, 2000; for short windows after
Lake and Moorman, Am. J. Physiol. 300, 2011) and the share of turning points (Dash et al., Ann. Biomed.
Eng. 37, 2009). Of the waveform it knows only which beats are of odd shape (``morphology``): it steps over
these. ``verdict.fuse`` joins it with a net that sees the waveform.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from math import log, sqrt
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecgedge.errors import BundleError

if TYPE_CHECKING:
    from ecgedge.messages import Bools, Floats

WEIGHTS = Path(__file__).parent / "bundles" / "irregularity.json"
FEATURES = 16
SHORTEST_RR_S, LONGEST_RR_S = 0.2, 3.0
LEAST_INTERVALS = 7
_EPS = 0.004
_ARRAYS = ("mean", "deviation", "hidden", "hidden_bias", "out", "out_bias")


def ordinary_intervals(times_s: Floats, odd: Bools) -> Floats:
    """RR intervals between ordinary beats, seconds; one that spans an odd beat counts for half.

    So the rhythm is followed through an ectopic beat: bigeminy over a regular sinus rhythm stays regular,
    fibrillation with ectopic beats stays irregular. Two odd beats in a row are left out with their interval,
    since how many ordinary ones they stand for cannot be told.

    Parameters
    ----------
    times_s : R peaks in order, shape (n,), seconds
    odd : whether a beat's QRS is of another shape than the ordinary ones, shape (n,)
    """
    kept = np.flatnonzero(~odd)
    times = times_s[kept]
    steps = kept[1:] - kept[:-1]
    rr = (times[1:] - times[:-1]) / steps
    return np.asarray(rr[(steps <= 2) & (rr > SHORTEST_RR_S) & (rr < LONGEST_RR_S)])


def _matches(far: Floats, tolerance: float) -> tuple[float, float]:
    """Share of the pairs of single intervals, and of pairs of two in a row, that agree within a tolerance.

    ``far`` is the distance of each interval from each, shape (n, n).
    """
    near = far < tolerance
    pairs = near[:-1, :-1] & near[1:, 1:]
    return tuple((np.count_nonzero(m) - len(m)) / (len(m) * (len(m) - 1)) for m in (near, pairs))  # type: ignore[return-value]


def _ranks(values: Floats, *shares: float) -> list[float]:
    """Quantiles, linear between the values; numpy's own takes longer than all the other figures."""
    ordered = np.sort(values).tolist()
    out = []
    for share in shares:
        place = share * (len(ordered) - 1)
        at = min(int(place), len(ordered) - 2)
        out.append(ordered[at] + (ordered[at + 1] - ordered[at]) * (place - at))
    return out


def _correlation(a: Floats, b: Floats) -> float:
    a, b = a - a.sum() / a.size, b - b.sum() / b.size
    spread = sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / spread if spread > 1e-9 * a.size else 0.0


def features(rr: Floats) -> Floats:
    """The figures of at least ``LEAST_INTERVALS`` intervals (seconds), shape (16,), float64."""
    (middle,) = _ranks(rr, 0.5)
    x = np.log(rr / middle)
    turn = x[1:] - x[:-1]
    step = np.abs(turn)
    step2 = np.abs(x[2:] - x[:-2])
    low, half, high = _ranks(step, 0.25, 0.5, 0.75)
    short = np.minimum(step, 0.6)
    turning = np.count_nonzero(turn[1:] * turn[:-1] < 0) / (x.size - 2)
    far = np.abs(x[:, None] - x)
    one, two = _matches(far, 0.05)
    bottom, top = _ranks(x, 0.1, 0.9)
    (off,) = _ranks(np.abs(x), 0.5)
    figures = [
        log(half + _EPS),
        log(sqrt(float(short @ short) / short.size) + _EPS),
        log(low + _EPS),
        log(high + _EPS),
        np.count_nonzero(step > 0.05) / step.size,
        np.count_nonzero(step > 0.1) / step.size,
        # Bigeminy repeats after two beats, atrial fibrillation does not.
        log(step2.sum() / step2.size + _EPS) - log(step.sum() / step.size + _EPS),
        log(one + 0.01),
        log(two + 0.01),
        log(_matches(far, 0.12)[0] + 0.01),
        turning,
        log(middle),
        _correlation(x[1:], x[:-1]),
        _correlation(x[2:], x[:-2]),
        top - bottom,
        log(off + _EPS),
    ]
    return np.array(figures)


@dataclass(frozen=True)
class IrregularityModel:
    """The fitted net: tanh layer, then a logistic output."""

    mean: Floats
    deviation: Floats
    hidden: Floats
    """Shape (units, 16)."""
    hidden_bias: Floats
    out: Floats
    """Shape (units,)."""
    out_bias: float

    def probability(self, times_s: Floats, odd: Bools) -> float | None:
        """Probability of atrial fibrillation (0-1) from the beats of one window.

        None where too few intervals between ordinary beats are left to tell.
        """
        rr = ordinary_intervals(times_s, odd)
        if rr.size < LEAST_INTERVALS:
            return None
        layer = np.tanh(self.hidden @ ((features(rr) - self.mean) / self.deviation) + self.hidden_bias)
        return float(1.0 / (1.0 + np.exp(-(float(self.out @ layer) + self.out_bias))))


@cache
def load(path: Path = WEIGHTS) -> IrregularityModel:
    """Read the weights.

    Raises
    ------
    BundleError
        If the file is missing or its arrays are not of the shapes this version expects.
    """
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        arrays = {name: np.array(table["weights"][name], dtype=np.float64) for name in _ARRAYS}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{path.name} cannot be read ({error})", "the weights of the RR model") from None
    units = arrays["hidden"].shape[0]
    shapes = {"mean": (FEATURES,), "deviation": (FEATURES,), "hidden": (units, FEATURES)}
    shapes |= {"hidden_bias": (units,), "out": (units,), "out_bias": ()}
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise BundleError(f"{path.name}: {name} has shape {arrays[name].shape}", f"{shape}")
    return IrregularityModel(
        arrays["mean"],
        arrays["deviation"],
        arrays["hidden"],
        arrays["hidden_bias"],
        arrays["out"],
        float(arrays["out_bias"]),
    )
