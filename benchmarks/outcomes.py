"""Figures of what was said about AF: three outcomes, curves, alarms, and intervals around them.

What was true is written as one letter a window (or record): ``A`` atrial fibrillation, ``-`` none, ``.``
left out. What was said likewise: ``A`` AF, ``-`` another rhythm, ``?`` inconclusive.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from benchmarks import report
from ecgedge.errors import MissingExtraError

AF, NONE, OUT, SILENT = "A", "-", ".", "?"
RESAMPLES = 1000
SEED = 57

Values = npt.NDArray[np.float64]
Groups = Sequence[int]


def draws(groups: int) -> Values:
    """How often each group is drawn in each bootstrap resample, shape (resamples, groups)."""
    rng = np.random.default_rng(SEED)
    return rng.multinomial(groups, np.full(groups, 1 / groups), RESAMPLES).astype(np.float64)


def summed(values: Sequence[float], groups: Groups) -> Values:
    """Sum of the values of each group, shape (groups,)."""
    return np.asarray(np.bincount(np.asarray(groups), np.asarray(values)), dtype=np.float64)


def percentiles(statistics: Values) -> list[float] | None:
    """The middle 95 % of a statistic's resamples; None where it is undefined in more than one of twenty."""
    known = statistics[np.isfinite(statistics)]
    if known.size < 0.95 * statistics.size:
        return None
    low, high = np.percentile(known, [2.5, 97.5])
    return [round(float(low), 4), round(float(high), 4)]


def ratio_interval(
    parts: Sequence[float], wholes: Sequence[float], groups: Groups | None = None
) -> list[float] | None:
    """95 % percentile bootstrap of sum(parts) / sum(wholes).

    Where every part is its whole (or every part 0) resampling shows no doubt at all; the exact binomial
    interval stands in then, each group being one trial.

    Parameters
    ----------
    parts, wholes : one a record or window
    groups : which of them belong together and are drawn together, numbered from 0; default: none do
    """
    if not parts:
        return None
    groups = range(len(parts)) if groups is None else groups
    part, whole = summed(parts, groups), summed(wholes, groups)
    room = round(float(0.025 ** (1 / max(1, np.count_nonzero(whole)))), 4)
    if np.array_equal(part, whole):
        return [room, 1.0]
    if not part.any():
        return [0.0, round(1 - room, 4)]
    times = draws(part.size)
    with np.errstate(invalid="ignore", divide="ignore"):
        return percentiles((times @ part) / (times @ whole))


def outcomes(reference: str, told: str, groups: Groups) -> report.Json:
    """Sensitivity and specificity on what was decided, and how much was not.

    Parameters
    ----------
    reference, told : a letter a window, see the module
    groups : number of the record (or person) of each window
    """
    rows = [row for row in zip(reference, told, groups, strict=True) if row[0] != OUT]
    counts = {
        name: {
            word: sum(r == true and t == said for r, t, _ in rows)
            for word, said in (("told_af", AF), ("told_other", NONE), ("inconclusive", SILENT))
        }
        for name, true in (("af", AF), ("not_af", NONE))
    }
    out: report.Json = {"windows": len(rows), **counts}
    for name, true in (("sensitivity", AF), ("specificity", NONE)):
        mine = [(float(t == true), g) for r, t, g in rows if r == true and t != SILENT]
        out |= share(name, [right for right, _ in mine], [g for _, g in mine])
    return out | share("inconclusive", [float(t == SILENT) for _, t, _ in rows], [g for _, _, g in rows])


def share(name: str, hits: Sequence[float], groups: Groups) -> report.Json:
    """A share with its interval, under the names that every result uses."""
    if not hits:
        return {name: None, f"{name}_interval": None}
    numbers = {g: k for k, g in enumerate(sorted(set(groups)))}
    interval = ratio_interval(hits, [1.0] * len(hits), [numbers[g] for g in groups])
    return {name: round(sum(hits) / len(hits), 4), f"{name}_interval": interval}


def roc(positive: Values, probability: Values, weight: Values | None = None) -> tuple[Values, Values, Values]:
    """Thresholds, and how much AF and how much else reaches each of them, from (0, 0) on.

    Parameters
    ----------
    positive : 1 for AF, 0 for none, shape (n,)
    probability : of AF, shape (n,); equal ones make one step
    weight : how often each counts, shape (n,); default 1
    """
    weight = np.ones(positive.size) if weight is None else weight
    order = np.argsort(-probability, kind="stable")
    falling = probability[order]
    last = np.append(np.flatnonzero(np.diff(falling)), falling.size - 1)
    hits = np.cumsum((weight * positive)[order])[last]
    alarms = np.cumsum((weight * (1 - positive))[order])[last]
    start = np.zeros(1)
    return np.append(np.inf, falling[last]), np.append(start, hits), np.append(start, alarms)


def area(hits: Values, alarms: Values) -> float:
    """Area under the ROC curve; not-a-number without AF or without anything else."""
    with np.errstate(invalid="ignore", divide="ignore"):
        x, y = alarms / alarms[-1], hits / hits[-1]
    return float((np.diff(x) * (y[1:] + y[:-1]) / 2).sum())


def average_precision(hits: Values, alarms: Values) -> float:
    """Precision averaged over the steps of recall: the area under the precision-recall curve."""
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(hits + alarms > 0, hits / (hits + alarms), 1.0)
        return float((np.diff(hits) / hits[-1] * precision[1:]).sum())


def curves(reference: str, probability: Sequence[float], groups: Groups) -> report.Json:
    """Areas under both curves with their intervals; every window counts, inconclusive ones too."""
    kept = [k for k, true in enumerate(reference) if true != OUT]
    positive = np.array([reference[k] == AF for k in kept], dtype=np.float64)
    values = np.array([probability[k] for k in kept])
    group = np.array([groups[k] for k in kept])
    _, hits, alarms = roc(positive, values)
    out: report.Json = {"windows": len(kept), "af": int(positive.sum())}
    measures: dict[str, Callable[[Values, Values], float]] = {
        "roc_area": area,
        "average_precision": average_precision,
    }
    drawn: dict[str, list[float]] = {name: [] for name in measures}
    for times in draws(max(groups) + 1):
        _, some_hits, some_alarms = roc(positive, values, times[group])
        for name, measure in measures.items():
            drawn[name].append(measure(some_hits, some_alarms))
    for name, measure in measures.items():
        out[name] = round(measure(hits, alarms), 4)
        out[f"{name}_interval"] = percentiles(np.array(drawn[name]))
    return out


def alarms(count: int, seconds: float) -> report.Json:
    """A count of false alarms over hours without AF, and the exact (Garwood) interval of its rate.

    Raises
    ------
    MissingExtraError : scipy is not installed
    """
    try:
        from scipy import stats
    except ImportError:
        raise MissingExtraError(
            "Poisson intervals need scipy", advice="In a checkout: pip install '.[dev]'"
        ) from None
    days = seconds / 86400
    low = stats.chi2.ppf(0.025, 2 * count) / 2 if count else 0.0
    high = stats.chi2.ppf(0.975, 2 * count + 2) / 2
    return {
        "count": count,
        "hours": round(seconds / 3600, 2),
        "per_day": round(count / days, 2) if days else None,
        "per_day_interval": [round(float(low) / days, 2), round(float(high) / days, 2)] if days else None,
    }


def spread(values: Sequence[float], digits: int) -> report.Json:
    """Median, 90th and 99th percentile and the greatest; None where there is nothing."""
    if not values:
        return {"n": 0, "p50": None, "p90": None, "p99": None, "max": None}
    p50, p90, p99 = (round(float(p), digits) for p in np.percentile(values, [50, 90, 99]))
    return {"n": len(values), "p50": p50, "p90": p90, "p99": p99, "max": round(max(values), digits)}
