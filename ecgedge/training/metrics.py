"""Figures of a classifier over records: accuracy, F1 by class, their means, bootstrap intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ecgedge.messages import Floats

Labels = npt.NDArray[np.int64]


def confusion(reference: Labels, decided: Labels, classes: int) -> Labels:
    """Counts, shape (classes, classes): row = reference, column = decision."""
    counts = np.bincount(reference * classes + decided, minlength=classes * classes)
    return counts.reshape(classes, classes)


def f1_by_class(counts: Labels) -> Floats:
    """2 TP / (2 TP + FP + FN) for each class; 0 where a class neither occurs nor is decided."""
    hits = np.diag(counts).astype(np.float64)
    either = counts.sum(axis=0) + counts.sum(axis=1)
    return np.asarray(np.divide(2 * hits, either, out=np.zeros_like(hits), where=either > 0))


def summary(
    reference: Labels, decided: Labels, classes: Sequence[str], resamples: int = 2000
) -> dict[str, Any]:
    """Accuracy, macro F1 over all classes, the Challenge's mean of the first three, F1 and confusion.

    ``interval`` is the 95 % percentile bootstrap over records (seeded, so that the command repeats).
    """
    k = len(classes)
    counts = confusion(reference, decided, k)
    f1 = f1_by_class(counts)
    rng = np.random.default_rng(2017)
    draws = []
    for _ in range(resamples):
        pick = rng.integers(0, reference.size, reference.size)
        drawn = confusion(reference[pick], decided[pick], k)
        draws.append((np.trace(drawn) / reference.size, f1_by_class(drawn).mean()))
    low, high = np.percentile(np.array(draws), [2.5, 97.5], axis=0)
    return {
        "records": int(reference.size),
        "accuracy": round(float((reference == decided).mean()), 4),
        "accuracy_interval": [round(float(low[0]), 4), round(float(high[0]), 4)],
        "macro_f1": round(float(f1.mean()), 4),
        "macro_f1_interval": [round(float(low[1]), 4), round(float(high[1]), 4)],
        "f1_mean_n_a_o": round(float(f1[:3].mean()), 4),
        "f1": {name: round(float(value), 4) for name, value in zip(classes, f1, strict=True)},
        "confusion": counts.tolist(),
    }


def mean_by_record(probabilities: Floats, record: Labels) -> Floats:
    """Mean of the windows' probabilities, shape (windows, classes), for each record number."""
    n = int(record.max()) + 1
    sums = np.zeros((n, probabilities.shape[1]))
    np.add.at(sums, record, probabilities)
    means: Floats = sums / np.bincount(record, minlength=n)[:, None]
    return means


def softmax(logits: Floats) -> Floats:
    """Along the last axis, in float64."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))
