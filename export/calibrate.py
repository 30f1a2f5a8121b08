"""Temperature and thresholds, from the inner validation records only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ecgedge.training.metrics import softmax

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

CONFIDENCE_QUANTILE = 0.05
PLATEAU = 0.01


def temperature(logits: Floats, labels: Labels) -> float:
    """The divisor of the logits with the least negative log-likelihood (Guo et al., ICML 2017).

    A golden-section search would do; the curve is smooth, so a fine grid on a log scale is as good.
    """
    grid = np.exp(np.linspace(np.log(0.3), np.log(3.0), 231))
    rows = np.arange(labels.size)
    costs = [-np.log(softmax(logits / t)[rows, labels] + 1e-12).mean() for t in grid]
    return round(float(grid[int(np.argmin(costs))]), 4)


def thresholds(probabilities: Floats, labels: Labels, af: int) -> dict[str, float]:
    """Confidence gate and the two thresholds of AF episodes, from calibrated window probabilities.

    * ``confidence``: the top score that 95 % of the windows reach; the rest stays undecided.
    * ``af_on``: the curve of F1 (AF against the rest) over the threshold is a plateau; its middle, the
      plateau being where F1 is within 0.01 of its best, is the steadiest choice.
    * ``af_off``: lower, so that an episode is not cut by one doubtful interval: two thirds of ``af_on``.
    """
    confidence = float(np.quantile(probabilities.max(axis=1), CONFIDENCE_QUANTILE))
    on = plateau(probabilities[:, af], labels == af)
    return {"confidence": round(confidence, 3), "af_on": on, "af_off": round(on * 2 / 3, 3)}


def plateau(score: Floats, truth: npt.NDArray[np.bool_]) -> float:
    """The middle of the thresholds, from 0.1 to 0.9, at which F1 is within ``PLATEAU`` of its best."""
    grid = np.arange(0.1, 0.91, 0.01)
    f1 = np.array([2 * ((score >= t) & truth).sum() / ((score >= t).sum() + truth.sum()) for t in grid])
    fine = grid[f1 >= f1.max() - PLATEAU]
    return round(float(fine[0] + fine[-1]) / 2, 3)
