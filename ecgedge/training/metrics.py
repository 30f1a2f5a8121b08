"""Figures of a classifier over records: accuracy, F1 by class, their means, bootstrap intervals."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ecgedge.messages import Floats

Labels = npt.NDArray[np.int64]

HEADLINE = ("accuracy", "macro_f1", "f1_mean_n_a_o")
"""The figures that intervals are given for."""


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
    """Accuracy, macro F1 over all classes, the Challenge's mean of the first three; by class; confusion.

    Recall and precision are None where there is nothing to find or nothing was told. ``..._interval`` is the
    95 % percentile bootstrap over records (seeded, so that the command repeats).
    """
    k = len(classes)
    counts = confusion(reference, decided, k)
    draws = [_headline(confusion(reference[p], decided[p], k)) for p in _picks(reference.size, resamples)]
    low, high = np.percentile(np.array(draws), [2.5, 97.5], axis=0)
    out: dict[str, Any] = {"records": int(reference.size)}
    for name, value, *interval in zip(HEADLINE, _headline(counts), low, high, strict=True):
        out[name] = round(float(value), 4)
        out[f"{name}_interval"] = [round(float(end), 4) for end in interval]
    hits = np.diag(counts).tolist()
    out["f1"] = {name: round(float(v), 4) for name, v in zip(classes, f1_by_class(counts), strict=True)}
    for name, totals in (("recall", counts.sum(axis=1)), ("precision", counts.sum(axis=0))):
        shares = [round(hit / n, 4) if n else None for hit, n in zip(hits, totals.tolist(), strict=True)]
        out[name] = dict(zip(classes, shares, strict=True))
    return out | {"confusion": counts.tolist()}


def difference(
    reference: Labels, first: Labels, second: Labels, classes: int, resamples: int = 2000
) -> dict[str, Any]:
    """How much better ``second`` decides than ``first``, on the same records.

    Each headline figure's difference with its paired 95 % percentile bootstrap interval (what both say of a
    drawn record is drawn together), and McNemar's exact test of the accuracy: how many records only one of
    them has right, and how likely so uneven a split were if they were equally good.
    """

    def gain(pick: Any) -> Floats:
        ends = (_headline(confusion(reference[pick], told[pick], classes)) for told in (second, first))
        return np.asarray(next(ends) - next(ends))

    draws = [gain(pick) for pick in _picks(reference.size, resamples)]
    low, high = np.percentile(np.array(draws), [2.5, 97.5], axis=0)
    out: dict[str, Any] = {}
    for name, value, *interval in zip(HEADLINE, gain(slice(None)), low, high, strict=True):
        out[name] = round(float(value), 4)
        out[f"{name}_interval"] = [round(float(end), 4) for end in interval]
    right, wrong = (
        int(((a == reference) & (b != reference)).sum()) for a, b in ((first, second), (second, first))
    )
    return out | {"only_first_right": right, "only_second_right": wrong, "mcnemar_p": mcnemar(right, wrong)}


def mcnemar(first: int, second: int) -> float:
    """Two-sided exact probability of so uneven a split of ``first + second`` tosses of a fair coin."""
    n = first + second
    tail = sum(math.comb(n, k) for k in range(min(first, second) + 1))
    return float(min(1.0, 2 * tail / 2**n))


def calibration_error(probabilities: Floats, reference: Labels, bins: int = 15) -> float:
    """Expected calibration error of the winning class (Guo et al., ICML 2017), 0-1.

    Parameters
    ----------
    probabilities : shape (n, classes)
    bins : of equal width over the winning probability
    """
    top = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == reference
    at = np.minimum((top * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(at, right - top, minlength=bins)
    return float(np.abs(gaps).sum() / top.size)


def _headline(counts: Labels) -> Floats:
    """In the order of ``HEADLINE``."""
    f1 = f1_by_class(counts)
    return np.array([np.trace(counts) / counts.sum(), f1.mean(), f1[:3].mean()])


def _picks(records: int, resamples: int) -> Iterator[Labels]:
    """Which records each bootstrap resample draws; seeded, so that the command repeats."""
    rng = np.random.default_rng(2017)
    for _ in range(resamples):
        yield rng.integers(0, records, records)


def mean_by_record(probabilities: Floats, record: Labels, records: int) -> Floats:
    """Mean of the windows' probabilities, shape (windows, classes), for each of the records.

    A record that is too short for any window is told noisy, which is the last class.
    """
    sums = np.zeros((records, probabilities.shape[1]))
    np.add.at(sums, record, probabilities)
    windows = np.bincount(record, minlength=records)[:, None]
    noisy = np.eye(probabilities.shape[1])[-1]
    return np.asarray(np.where(windows > 0, sums / np.maximum(windows, 1), noisy))


def softmax(logits: Floats) -> Floats:
    """Along the last axis, in float64."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))
