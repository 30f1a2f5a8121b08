"""What each part of ECG-DualNet S is worth; ``python -m benchmarks.ablation_dualnet``.

The published ablation (no signal encoder, no spectrogram encoder, neither augmentation nor dropout), and the
activations: the published Pade unit, and the two that int8 can hold. Every net is trained alike, from its
own recipe, but on a share of the fitting records and for few epochs, where what learns fast looks best.
Scored on the inner validation records of CinC 2017; the published ones are not looked at.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import report
from benchmarks.markdown import interval, prose, source, table
from ecgedge.datasets import cinc2017
from ecgedge.errors import UsageError
from ecgedge.training import checkpoint, metrics, run
from ecgedge.training import recipe as recipes
from ecgedge.training.data import ConditionedSet, WindowDataset
from ecgedge.training.trainer import Machine

if TYPE_CHECKING:
    from argparse import Namespace

    from ecgedge.training.recipe import Recipe

QUESTION = "What is each part of ECG-DualNet S worth, and what do activations for int8 cost?"
WHOLE = "whole, leaky ReLU"
VARIANTS = {
    WHOLE: "dualnet-s-leaky",
    "ReLU": "dualnet-s",
    "Pade unit, as published": "dualnet-s-pau",
    "no signal encoder": "dualnet-s-no-signal",
    "no spectrogram encoder": "dualnet-s-no-spectrogram",
    "neither augmentation nor dropout": "dualnet-s-no-augmentation",
}
BATCH, EMA_DECAY = 16, 0.98
"""In place of the recipes': few records make few steps, and the mean of them must forget the first sooner."""
WATCHED = 50
"""How many of the records are scored after each epoch, to look at; all are at the end."""


def variant(title: str, seed: int, epochs: int) -> Recipe:
    """A net's recipe for a short run of its own, from the beginning."""
    plan = recipes.load(VARIANTS[title])
    whole = recipes.load(VARIANTS[WHOLE]).optimiser
    short = dataclasses.replace(whole, epochs=epochs, batch=BATCH, ema_decay=EMA_DECAY)
    return dataclasses.replace(plan, name=f"{plan.name}-{seed}", start=None, seed=seed, optimiser=short)


def told(path: Path, test: ConditionedSet) -> tuple[metrics.Labels, int]:
    """The class that a trained net gives each record or window, and its number of parameters."""
    trained = checkpoint.load(path)
    logits, _, record = run.window_logits(trained.net, WindowDataset(test, trained.recipe))
    decided = metrics.mean_by_record(metrics.softmax(logits), record, len(test.names)).argmax(axis=1)
    return decided, sum(p.numel() for p in trained.net.parameters())


def measure(root: Path, given: Namespace, work: Path) -> report.Json:
    """Train and score every net with every seed."""
    fit, test = run.training_sets(root, recipes.load(VARIANTS[WHOLE]))
    fit = fit.subset(fit.names[:: given.every])
    watched = test.subset(test.names[:: max(1, len(test.names) // WATCHED)])
    reference, classes = np.array(test.labels), cinc2017.CLASSES
    nets: dict[str, Any] = {}
    whole: dict[int, metrics.Labels] = {}
    for title, recipe in VARIANTS.items():
        runs = []
        for seed in range(1, given.seeds + 1):
            plan = variant(title, seed, given.epochs)
            path = run.fit(plan, root, work, Machine(given.threads), sets=(fit, watched))
            decided, parameters = told(path, test)
            row = {"seed": seed, **metrics.summary(reference, decided, classes)}
            against = whole.setdefault(seed, decided)
            row["gain"] = metrics.difference(reference, against, decided, classes)
            runs.append(row)
            print(f"{title}, seed {seed}: macro F1 {row['macro_f1']:.3f}", flush=True)
        nets[title] = {"recipe": recipe, "parameters": parameters, "runs": runs}
    counts = [np.bincount(part.labels, minlength=len(classes)).tolist() for part in (fit, test)]
    return {
        "classes": list(classes),
        "fitted_on": counts[0],
        "scored_on": counts[1],
        "epochs": given.epochs,
        "batch": BATCH,
        "nets": nets,
    }


def mean(runs: list[report.Json], name: str) -> str:
    """A figure: its mean over several runs with their range, or that of the one run with its interval."""
    if len(runs) == 1:
        return interval(runs[0], name)
    values = [one[name] for one in runs]
    return f"{np.mean(values):.3f} (runs {min(values):.3f} to {max(values):.3f})"


def lines(result: report.Json) -> list[str]:
    """The table in Markdown."""
    figures = result["figures"]
    rows = []
    for title, row in figures["nets"].items():
        runs = row["runs"]
        gain = "-" if title == WHOLE else mean([one["gain"] for one in runs], "macro_f1")
        cells = [mean(runs, "macro_f1"), mean(runs, "accuracy"), gain]
        rows.append([title, f"{row['parameters']:,}", *cells])
    seeds = len(figures["nets"][WHOLE]["runs"])
    fitted, scored = (sum(figures[key]) for key in ("fitted_on", "scored_on"))
    text = (
        f"ECG-DualNet S on 30 s of CinC 2017: {figures['epochs']} epochs in batches of {figures['batch']} on "
        f"{fitted} records, {seeds} {'seed' if seeds == 1 else 'seeds'}, scored on the {scored} inner "
        "validation records. A small budget, the same for all, far from what a whole training reaches: it "
        "tells how fast a net learns as much as what it can. Brackets: 95 % bootstrap intervals over "
        "records, of the gain in pairs."
    )
    heads = ["net", "parameters", "macro F1", "accuracy", f"gain in macro F1 over *{WHOLE}*"]
    return [*prose(text), "", *table(heads, rows), "", *source(result)]


def check(given: Namespace) -> None:
    """Refuse options of an ablation that train nothing.

    Raises
    ------
    UsageError
        Unless there are seeds, epochs and records.
    """
    if min(given.seeds, given.epochs, given.every) < 1:
        found = f"{given.seeds} seeds, {given.epochs} epochs, every {given.every}"
        raise UsageError(found, "1 or more of each")


def main() -> None:
    """Measure, write the result, print the table."""
    parser = report.options("ablation_dualnet", QUESTION)
    parser.add_argument("--seeds", type=int, default=1, help="runs of every net")
    parser.add_argument("--epochs", type=int, default=6, help="of every run")
    parser.add_argument("--every", type=int, default=5, metavar="N", help="fit on every Nth record")
    parser.add_argument("--threads", type=int, default=None, help="of torch")
    given = parser.parse_args()
    check(given)
    report.trained(parser, given, QUESTION, measure, lines)


if __name__ == "__main__":
    report.run(main)
