"""Fit the RR-irregularity model: ``python -m ecgedge.training.irregularity [--root DIR]``.

Windows of 30 s every 10 s from the AF Database (AFIB against all that is neither AFIB nor flutter; windows
of one rhythm only) and from the CinC 2017 records that the rhythm models are fitted on (A against N and O;
windows, beats and shapes as the stream has them). Each set carries half of the loss. The cross-validated
figures (five folds of AF Database records) and those on the inner validation records go into the file beside
the weights.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from ecgedge import irregularity, morphology, rpeaks
from ecgedge.datasets import afdb, cinc2017
from ecgedge.datasets.archive import data_root
from ecgedge.training.data import condition, inner_split
from ecgedge.training.recipe import Recipe, load
from ecgedge.windows import Windower

if TYPE_CHECKING:
    from ecgedge.messages import Bools, Floats

WINDOW_S, HOP_S = 30.0, 10.0
UNITS, STEPS, BATCH, SEED = 16, 1500, 4096, 0
FOLDS = 5
RECIPE = "efficientecg-s"
"""Of the shipped bundle: its windows and its conditioning are those of the stream."""

Rows = tuple["Floats", "Floats", list[str]]
"""Features (n, 16), target (n,) in {0, 1}, and the record of each row."""


def _features(times_s: Floats, odd: Bools) -> Floats | None:
    rr = irregularity.ordinary_intervals(times_s, odd)
    return irregularity.features(rr) if rr.size >= irregularity.LEAST_INTERVALS else None


def _stack(rows: list[tuple[Floats, float, str]]) -> Rows:
    x, y, names = zip(*rows, strict=True)
    return np.array(x), np.array(y), list(names)


def afdb_rows(root: Path) -> Rows:
    """Windows of the AF Database; its beats have no shapes, so all count as ordinary."""
    rows: list[tuple[Floats, float, str]] = []
    for record in afdb.records(root):
        starts = np.array([start for start, _ in record.rhythms])
        for start in np.arange(0.0, float(record.beats_s[-1]) - WINDOW_S, HOP_S):
            at = int(np.searchsorted(starts, start, "right")) - 1
            if at < 0 or (at + 1 < starts.size and starts[at + 1] < start + WINDOW_S):
                continue
            first, last = np.searchsorted(record.beats_s, [start, start + WINDOW_S])
            beats = record.beats_s[first:last]
            label = record.rhythms[at][1]
            figures = None if label == "AFL" else _features(beats, np.zeros(beats.size, dtype=bool))
            if figures is not None:
                rows.append((figures, float(label == "AFIB"), record.name))
    return _stack(rows)


def cinc_rows(root: Path, names: list[str], recipe: Recipe) -> Rows:
    """Windows of CinC 2017 records, the noisy class left out."""
    rows: list[tuple[Floats, float, str]] = []
    spec = recipe.spec
    for record in cinc2017.records(root, names, recipe.data.revision):
        label = cinc2017.CLASSES[cinc2017.class_of(record, recipe.data.revision)]
        if label == "~":
            continue
        detector = rpeaks.RPeakDetector(0, 0.0, record.rate_hz)
        beats = detector.push(condition(record.lead(), record.rate_hz, rpeaks.BAND)) + detector.finish()
        times = np.array([beat.time_s for beat in beats])
        signal = condition(record.lead(), record.rate_hz, recipe.preprocessing)
        windower = Windower(spec, 0, 0.0, spec.rate_hz)
        for window in windower.push(signal) + windower.finish():
            first, last = np.searchsorted(times, [window.time_s, window.time_s + window.seconds])
            inside = times[first:last]
            figures = None if window.provisional else _features(inside, morphology.odd_beats(window, inside))
            if figures is not None:
                rows.append((figures, float(label == "A"), record.name))
    return _stack(rows)


def fit(sets: list[Rows]) -> irregularity.IrregularityModel:
    """Fit on several sets of windows, each with the same weight."""
    x = np.concatenate([rows[0] for rows in sets])
    y = np.concatenate([rows[1] for rows in sets])
    weight = np.concatenate([np.full(len(rows[1]), 1 / len(rows[1])) for rows in sets])
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    generator = torch.Generator().manual_seed(SEED)
    torch.manual_seed(SEED)
    net = nn.Sequential(nn.Linear(irregularity.FEATURES, UNITS), nn.Tanh(), nn.Linear(UNITS, 1))
    inputs = torch.tensor((x - mean) / deviation, dtype=torch.float32)
    target = torch.tensor(y, dtype=torch.float32)
    weights = torch.tensor(weight / weight.mean(), dtype=torch.float32)
    optimiser = torch.optim.AdamW(net.parameters(), lr=0.01, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    for _ in range(STEPS):
        pick = torch.randint(0, len(inputs), (BATCH,), generator=generator)
        logits = net(inputs[pick])[:, 0]
        cost = nn.functional.binary_cross_entropy_with_logits(logits, target[pick], weights[pick])
        optimiser.zero_grad()
        cost.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    first, last = net[0], net[2]
    values = [p.detach().numpy().astype(np.float64) for p in (*first.parameters(), *last.parameters())]
    return irregularity.IrregularityModel(
        mean, deviation, values[0], values[1], values[2][0], float(values[3][0])
    )


def predict(model: irregularity.IrregularityModel, x: Floats) -> Floats:
    """Probabilities of rows of features."""
    layer = np.tanh((x - model.mean) / model.deviation @ model.hidden.T + model.hidden_bias)
    return np.asarray(1 / (1 + np.exp(-(layer @ model.out + model.out_bias))))


def figures(probability: Floats, target: Floats) -> dict[str, float]:
    """Sensitivity and +P at one half, and the area under the ROC curve (rank statistic)."""
    said, truth = probability >= 0.5, target == 1
    order = np.argsort(probability)
    rank = np.empty(order.size)
    rank[order] = np.arange(order.size)
    area = (rank[truth].mean() - (truth.sum() - 1) / 2) / (~truth).sum()
    hits = (said & truth).sum()
    return {
        "windows": int(truth.size),
        "sensitivity": round(float(hits / truth.sum()), 4),
        "ppv": round(float(hits / said.sum()), 4),
        "auroc": round(float(area), 4),
    }


def cross_validate(own: Rows, other: Rows) -> dict[str, float]:
    """Figures over AF Database windows, each predicted by a model that has not seen its fold of records."""
    x, y, names = own
    probability = np.empty(len(y))
    for fold in range(FOLDS):
        held = np.isin(names, afdb.NAMES[fold::FOLDS])
        kept: Rows = (x[~held], y[~held], [])
        probability[held] = predict(fit([kept, other]), x[held])
    return figures(probability, y)


def main() -> None:
    """Fit, score and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", help="folder of the data sets (default: ECGEDGE_DATA)")
    parser.add_argument("--out", type=Path, default=irregularity.WEIGHTS)
    given = parser.parse_args()
    root, recipe = data_root(given.root), load(RECIPE)
    names, _ = cinc2017.published_split(root)
    known = cinc2017.labels_by_record(root)
    fit_names, inner_names = inner_split(names, [known[n] for n in names], recipe.data.inner_share)
    own, other = afdb_rows(root), cinc_rows(root, fit_names, recipe)
    inner = cinc_rows(root, inner_names, recipe)
    model = fit([own, other])
    table: dict[str, Any] = {
        "command": "python -m ecgedge.training.irregularity",
        "data": "annotations of the MIT-BIH AF Database; CinC 2017 training records (both ODC-BY 1.0)",
        "notice": "Not a medical device.",
        "afdb_cross_validated": cross_validate(own, other),
        "cinc2017_inner": figures(predict(model, inner[0]), inner[1]),
        "weights": {
            "mean": model.mean.tolist(),
            "deviation": model.deviation.tolist(),
            "hidden": model.hidden.tolist(),
            "hidden_bias": model.hidden_bias.tolist(),
            "out": model.out.tolist(),
            "out_bias": model.out_bias,
        },
    }
    given.out.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    print({key: table[key] for key in ("afdb_cross_validated", "cinc2017_inner")})


if __name__ == "__main__":
    main()
