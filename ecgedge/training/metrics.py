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


def confusion(reference: Labels, decided: Labels, classes: int) -> Labels:
    """Counts, shape (classes, classes): row = reference, column = decision."""
    counts = np.bincount(reference * classes + decided, minlength=classes * classes)
    return counts.reshape(classes, classes)


def f1_by_class(counts: Labels) -> Floats:
    """2 TP / (2 TP + FP + FN) for each class; 0 where a class neither occurs nor is decided."""
    hits = np.diag(counts).astype(np.float64)
    either = counts.sum(axis=0) + counts.sum(axis=1)
    return np.asarray(np.divide(2 * hits, either, out=np.zeros_like(hits), where=either > 0))


def headline(counts: Labels, classes: Sequence[str]) -> dict[str, float]:
    """The figures that intervals are given for, from counts as of ``confusion``; NaN where one is undefined.

    Accuracy and macro F1; the Challenge's mean F1 of N, A and O where these are the first classes; and of two
    classes how the first is found: sensitivity, specificity, positive predictivity.
    """
    f1 = f1_by_class(counts)
    out = {"accuracy": float(np.trace(counts) / counts.sum()), "macro_f1": float(f1.mean())}
    if tuple(classes[:3]) == ("N", "A", "O"):
        out["f1_mean_n_a_o"] = float(f1[:3].mean())
    if len(classes) == 2:
        (found, missed), (false, passed) = counts.astype(np.float64)
        for name, part, other in (
            ("sensitivity", found, missed),
            ("specificity", passed, false),
            ("ppv", found, false),
        ):
            out[name] = float(part / (part + other)) if part + other else math.nan
    return out


def summary(
    reference: Labels,
    decided: Labels,
    classes: Sequence[str],
    resamples: int = 2000,
    groups: Labels | None = None,
) -> dict[str, Any]:
    """The ``headline`` figures; F1, recall and precision by class; the confusion matrix.

    A figure is None where it is undefined: recall of what never occurs, precision of what was never told.
    ``..._interval`` is the 95 % percentile bootstrap over records (seeded, so that the command repeats); None
    where a figure is undefined in more than one of twenty resamples.

    Parameters
    ----------
    reference, decided : class of each record, or of each window
    groups : which record each window is of, from 0; default: every one is a record
    """
    tables = _tables(reference, decided, len(classes), groups)
    values = headline(tables.sum(axis=0), classes)
    draws = [headline(tables[pick].sum(axis=0), classes) for pick in _picks(len(tables), resamples)]
    out: dict[str, Any] = {"records": len(tables), **_with_intervals(values, draws)}
    counts = confusion(reference, decided, len(classes))
    hits = np.diag(counts).tolist()
    out["f1"] = {name: round(float(v), 4) for name, v in zip(classes, f1_by_class(counts), strict=True)}
    for name, totals in (("recall", counts.sum(axis=1)), ("precision", counts.sum(axis=0))):
        shares = [round(hit / n, 4) if n else None for hit, n in zip(hits, totals.tolist(), strict=True)]
        out[name] = dict(zip(classes, shares, strict=True))
    return out | {"confusion": counts.tolist()}


def difference(
    reference: Labels,
    first: Labels,
    second: Labels,
    classes: Sequence[str],
    resamples: int = 2000,
    groups: Labels | None = None,
) -> dict[str, Any]:
    """How much better ``second`` decides than ``first``, on the same records.

    Each headline figure's difference with its paired 95 % percentile bootstrap interval (what both say of a
    drawn record is drawn together), and McNemar's exact test of the accuracy: how many only one of them has
    right, and how likely so uneven a split were if they were equally good; None for windows in ``groups``,
    which are not independent.
    """
    both = [_tables(reference, told, len(classes), groups) for told in (first, second)]

    def gain(pick: Any) -> dict[str, float]:
        before, after = (headline(tables[pick].sum(axis=0), classes) for tables in both)
        return {name: after[name] - before[name] for name in before}

    draws = [gain(pick) for pick in _picks(len(both[0]), resamples)]
    out = _with_intervals(gain(slice(None)), draws)
    right, wrong = (
        int(((a == reference) & (b != reference)).sum()) for a, b in ((first, second), (second, first))
    )
    p = mcnemar(right, wrong) if groups is None else None
    return out | {"only_first_right": right, "only_second_right": wrong, "mcnemar_p": p}


def _tables(reference: Labels, decided: Labels, classes: int, groups: Labels | None) -> Labels:
    """Counts as of ``confusion`` of each group, shape (groups, classes, classes)."""
    group = np.arange(reference.size) if groups is None else groups
    out = np.zeros((int(group.max()) + 1, classes, classes), dtype=np.int64)
    np.add.at(out, (group, reference, decided), 1)
    return out


def _with_intervals(values: dict[str, float], draws: list[dict[str, float]]) -> dict[str, Any]:
    """Rounded figures, each with the middle 95 % of its resamples."""
    out: dict[str, Any] = {}
    for name, value in values.items():
        drawn = np.array([one[name] for one in draws])
        known = drawn[np.isfinite(drawn)]
        ends = np.percentile(known, [2.5, 97.5]) if known.size >= 0.95 * drawn.size else None
        out[name] = round(value, 4) if math.isfinite(value) else None
        out[f"{name}_interval"] = None if ends is None else [round(float(end), 4) for end in ends]
    return out


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
