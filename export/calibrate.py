"""Temperature and thresholds, from the inner validation records only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ecgedge.training.metrics import softmax

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

CONFIDENCE_QUANTILE = 0.05


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
    * ``af_on``: the threshold with the best F1 of AF against the rest.
    * ``af_off``: lower, so that an episode is not cut by one doubtful interval: two thirds of ``af_on``.
    """
    confidence = float(np.quantile(probabilities.max(axis=1), CONFIDENCE_QUANTILE))
    score, truth = probabilities[:, af], labels == af
    grid = np.arange(0.2, 0.81, 0.01)
    f1 = []
    for threshold in grid:
        said = score >= threshold
        f1.append(2 * (said & truth).sum() / max(1, said.sum() + truth.sum()))
    on = float(grid[int(np.argmax(f1))])
    return {"confidence": round(confidence, 3), "af_on": round(on, 3), "af_off": round(on * 2 / 3, 3)}
