"""Beats of a window -> how much their rhythm looks like atrial fibrillation, from RR intervals alone.

Sixteen figures of the RR series feed a net of one hidden layer whose weights ship in
``bundles/irregularity.json``. It was fitted on the rhythm and beat annotations of the MIT-BIH AF Database
and on CinC 2017 training records (``python -m ecgedge.training.irregularity``). Among the figures are the
match counts of sample entropy (Richman and Moorman, Am. J. Physiol. 278, 2000; for short windows after
Lake and Moorman, Am. J. Physiol. 300, 2011) and the share of turning points (Dash et al., Ann. Biomed.
Eng. 37, 2009). It sees no waveform, so ``verdict.fuse`` joins it with a net that does.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecgedge.errors import BundleError

if TYPE_CHECKING:
    from ecgedge.messages import Floats

WEIGHTS = Path(__file__).parent / "bundles" / "irregularity.json"
FEATURES = 16
SHORTEST_RR_S, LONGEST_RR_S = 0.2, 3.0
LEAST_INTERVALS = 7
ODD_HEIGHT = 0.5
"""A QRS whose height differs from the median by more than this share of it is taken for ectopic."""
_EPS = 0.004
_ARRAYS = ("mean", "deviation", "hidden", "hidden_bias", "out", "out_bias")


def normal_intervals(times_s: Floats, heights: Floats) -> Floats:
    """RR intervals, seconds, without those next to a QRS of odd height and the one after its pause.

    Parameters
    ----------
    times_s : R peaks in order, shape (n,), seconds
    heights : signed heights of the QRS, shape (n,), any unit
    """
    if times_s.size < 2:
        return np.empty(0)
    rr = np.diff(times_s)
    middle = float(np.median(heights))
    odd = np.abs(heights - middle) > ODD_HEIGHT * abs(middle)
    good = ~(odd[1:] | odd[:-1])
    good[1:] &= ~odd[:-2]
    good &= (rr > SHORTEST_RR_S) & (rr < LONGEST_RR_S)
    return np.asarray(rr[good])


def _match(series: Floats, length: int, tolerance: float) -> float:
    """Share of the pairs of templates of ``length`` intervals that agree within ``tolerance``."""
    n = series.size - length + 1
    templates = np.lib.stride_tricks.sliding_window_view(series, length)
    near = np.abs(templates[:, None] - templates[None]).max(axis=2) < tolerance
    return float((near.sum() - n) / (n * (n - 1)))


def _correlation(a: Floats, b: Floats) -> float:
    spread = float(a.std() * b.std())
    return float(((a - a.mean()) * (b - b.mean())).mean()) / spread if spread > 1e-9 else 0.0


def features(rr: Floats) -> Floats:
    """The figures of at least ``LEAST_INTERVALS`` intervals (seconds), shape (16,), float64."""
    middle = float(np.median(rr))
    x = np.log(rr / middle)
    step = np.abs(np.diff(x))
    step2 = np.abs(x[2:] - x[:-2])
    low, half, high = np.percentile(step, [25, 50, 75])
    inner, before, after = x[1:-1], x[:-2], x[2:]
    turning = ((inner > before) & (inner > after)) | ((inner < before) & (inner < after))
    return np.array(
        [
            np.log(half + _EPS),
            np.log(np.sqrt((np.minimum(step, 0.6) ** 2).mean()) + _EPS),
            np.log(low + _EPS),
            np.log(high + _EPS),
            (step > 0.05).mean(),
            (step > 0.1).mean(),
            # Bigeminy repeats after two beats, atrial fibrillation does not.
            np.log(step2.mean() + _EPS) - np.log(step.mean() + _EPS),
            np.log(_match(x, 1, 0.05) + 0.01),
            np.log(_match(x, 2, 0.05) + 0.01),
            np.log(_match(x, 1, 0.12) + 0.01),
            turning.mean(),
            np.log(middle),
            _correlation(x[1:], x[:-1]),
            _correlation(x[2:], x[:-2]),
            np.subtract(*np.percentile(x, [90, 10])),
            np.log(np.median(np.abs(x)) + _EPS),
        ]
    )


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

    def probability(self, times_s: Floats, heights: Floats) -> float | None:
        """Probability of atrial fibrillation (0-1) from the beats of one window.

        None where too few intervals between ordinary beats are left to tell.
        """
        rr = normal_intervals(times_s, heights)
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
