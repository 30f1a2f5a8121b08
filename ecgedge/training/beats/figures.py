"""Logits and labels of inner windows -> figures for choosing. Beat by beat: see ``evaluate``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ecgedge.training.beats.data import NONE
from ecgedge.training.beats.recipe import SEVERAL

if TYPE_CHECKING:
    from ecgedge.messages import Floats
    from ecgedge.training.beats.recipe import BeatRecipe

HEADLINE = {"mitdb": ("N", "S", "V")}
"""Classes whose mean F1 is the headline; all, where nothing is said. (362 of DS2's 388 fusion beats are one
person's.)"""


def summary(labels: npt.NDArray[np.int8], logits: Floats, plan: BeatRecipe) -> dict[str, Any]:
    """Figures of what has a label.

    Parameters
    ----------
    labels : as in ``BeatSet``
    logits : shape (windows, reported, classes) or (windows, classes)
    """
    n = len(plan.classes)
    if plan.data.set in SEVERAL:
        told, truth = logits > 0, labels > 0
        pairs = [(told[:, k], truth[:, k]) for k in range(n)]
        out: dict[str, Any] = {"windows": len(labels)}
    else:
        known = labels.reshape(-1) != NONE
        said = logits.reshape(-1, n).argmax(axis=1)[known]
        true = labels.reshape(-1)[known]
        pairs = [(said == k, true == k) for k in range(n)]
        confusion = np.zeros((n, n), dtype=np.int64)
        np.add.at(confusion, (true, said), 1)
        out = {"beats" if plan.per_beat else "windows": int(known.sum()), "confusion": confusion.tolist()}
    rows = [_of_class(told, truth) for told, truth in pairs]
    by_class = {key: dict(zip(plan.classes, column, strict=True)) for key, column in _columns(rows).items()}
    headline = HEADLINE.get(plan.data.set, plan.classes)
    mean = float(np.mean([by_class["f1"][name] or 0.0 for name in headline]))
    return {**out, "macro_f1": round(mean, 4), **by_class}


def _of_class(told: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]) -> dict[str, float | None]:
    """Recall, precision and F1 of one class; None where there is nothing to tell."""
    hits = int((told & truth).sum())

    def share(whole: int, part: float = hits) -> float | None:
        return round(part / whole, 4) if whole else None

    return {
        "recall": share(int(truth.sum())),
        "precision": share(int(told.sum())),
        "f1": share(int(truth.sum()) + int(told.sum()), 2 * hits),
    }


def _columns(rows: list[dict[str, float | None]]) -> dict[str, list[float | None]]:
    return {key: [row[key] for row in rows] for key in rows[0]}
