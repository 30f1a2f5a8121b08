"""Figures of windows called or not: areas, rates at a threshold, intervals over recordings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ecgedge.messages import Bools, Floats
    from ecgedge.training.metrics import Labels

RESAMPLES = 1000


def average_precision(labels: Labels, scores: Floats) -> float | None:
    """Area under precision over recall, as steps (the sum of precision times gained recall).

    Windows of the same score are taken together. None where nothing is to be found.
    """
    if not labels.any():
        return None
    order = np.argsort(-scores, kind="stable")
    found, ends = np.cumsum(labels[order]), np.flatnonzero(np.diff(scores[order], append=np.nan))
    precision, recall = found[ends] / (ends + 1), found[ends] / found[-1]
    return float((precision * np.diff(recall, prepend=0.0)).sum())


def area_under_roc(labels: Labels, scores: Floats) -> float | None:
    """Share of pairs of windows, one with and one without, that are in order; ties count half."""
    positive, negative = np.sort(scores[labels == 1]), np.sort(scores[labels == 0])
    if not positive.size or not negative.size:
        return None
    below = np.searchsorted(negative, positive, "left") + np.searchsorted(negative, positive, "right")
    return float(below.sum() / (2 * positive.size * negative.size))


def threshold_at(labels: Labels, scores: Floats, sensitivity: float) -> float:
    """The highest score that finds at least this share of the windows that are to be found."""
    positive = np.sort(scores[labels == 1])[::-1]
    return float(positive[max(0, int(np.ceil(sensitivity * positive.size)) - 1)])


def rates(labels: Labels, told: Bools) -> dict[str, Any]:
    """Counts and shares of windows told to hold what is sought; a share of nothing is None."""
    hit, false = int((told & (labels == 1)).sum()), int((told & (labels == 0)).sum())
    missed, passed = int((~told & (labels == 1)).sum()), int((~told & (labels == 0)).sum())
    return {
        "found": hit,
        "missed": missed,
        "false": false,
        "passed": passed,
        "sensitivity": share(hit, hit + missed),
        "specificity": share(passed, passed + false),
        "precision": share(hit, hit + false),
        "f1": share(2 * hit, 2 * hit + false + missed),
    }


def share(part: int, whole: int) -> float | None:
    """A share to four digits."""
    return round(part / whole, 4) if whole else None


def summary(labels: Labels, scores: Floats, names: Sequence[str]) -> dict[str, Any]:
    """Windows, areas, and the 95 % bootstrap interval over recordings of the first of them."""
    precision = average_precision(labels, scores)
    out: dict[str, Any] = {"windows": int(labels.size), "positive": int(labels.sum())}
    out["average_precision"] = None if precision is None else round(precision, 4)
    out["average_precision_interval"] = interval(labels, scores, names)
    roc = area_under_roc(labels, scores)
    return out | {"area_under_roc": None if roc is None else round(roc, 4)}


def interval(labels: Labels, scores: Floats, names: Sequence[str]) -> list[float] | None:
    """95 % percentile bootstrap of the average precision over recordings (seeded)."""
    keys, of = np.unique(np.array(names), return_inverse=True)
    rows = [np.flatnonzero(of == k) for k in range(len(keys))]
    rng = np.random.default_rng(2018)
    draws = []
    for _ in range(RESAMPLES):
        picked = np.concatenate([rows[k] for k in rng.integers(0, len(rows), len(rows))])
        if (value := average_precision(labels[picked], scores[picked])) is not None:
            draws.append(value)
    if not draws:
        return None
    return [round(float(end), 4) for end in np.percentile(draws, [2.5, 97.5])]
