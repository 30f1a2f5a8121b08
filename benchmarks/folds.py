"""How far does a rhythm net's score depend on the records it was fitted on?

Cross-validation over the 7000 records of the published training list of CinC 2017, each fold as
``ecgedge train RECIPE --fold K/N`` makes it: fitted on the others, scored on its own, weights of the last
epoch. Without teachers, which would have to be trained for every fold, and for few epochs: the spread is what
counts. The published validation records are not looked at.
"""

from __future__ import annotations

import dataclasses
from argparse import Namespace
from pathlib import Path

import numpy as np

from benchmarks import report
from benchmarks.ablation_dualnet import told
from benchmarks.ablation_efficientecg import EMA_DECAY
from benchmarks.markdown import interval, prose, source, table
from ecgedge.datasets import cinc2017
from ecgedge.training import metrics, run, variants
from ecgedge.training import recipe as recipes
from ecgedge.training.data import inner_split, load_cinc2017
from ecgedge.training.recipe import Recipe
from ecgedge.training.trainer import Machine

QUESTION = "How far does a rhythm net's score depend on the records it was fitted on?"
HEADLINE = {"macro_f1": "macro F1", "accuracy": "accuracy", "f1_mean_n_a_o": "mean F1 of N, A, O"}


def short(name: str, epochs: int) -> Recipe:
    """The recipe without teachers, for a short run."""
    plan = recipes.load(name)
    options = dataclasses.replace(plan.optimiser, epochs=epochs, ema_decay=EMA_DECAY)
    return dataclasses.replace(plan, optimiser=options, distillation=None, start=None, rounded=False)


def measure(root: Path, given: Namespace, work: Path) -> report.Json:
    """Train and score every fold."""
    plan = short(given.recipe, given.epochs)
    names, _ = cinc2017.published_split(root)
    everything = load_cinc2017(root, names, plan)
    known = cinc2017.labels_by_record(root)
    labels = [known[name] for name in names]
    runs, reference, decided = [], [], []
    for fold in range(1, given.folds + 1):
        one = variants.with_fold(plan, fold, given.folds)
        parts = inner_split(names, labels, one.data.inner_share, one.data.inner_fold)
        fit, test = (everything.subset(part) for part in parts)
        said, parameters = told(run.fit(one, root, work, Machine(given.threads), sets=(fit, test)), test)
        reference.append(np.array(test.labels))
        decided.append(said)
        runs.append({"fold": fold, "fitted_on": len(fit.names), **figures(reference[-1], said)})
        print(f"fold {fold} of {given.folds}: macro F1 {runs[-1]['macro_f1']:.3f}", flush=True)
    spread = {
        key: {"mean": round(float(np.mean(v)), 4), "sd": round(float(np.std(v, ddof=1)), 4)}
        for key, v in ((key, [one[key] for one in runs]) for key in HEADLINE)
    }
    pooled = figures(np.concatenate(reference), np.concatenate(decided))
    facts = {"recipe": given.recipe, "parameters": parameters, "epochs": given.epochs}
    return {**facts, "folds": runs, "spread": spread, "pooled": pooled}


def figures(reference: metrics.Labels, said: metrics.Labels) -> report.Json:
    """Figures over records."""
    return metrics.summary(reference, said, cinc2017.CLASSES)


def lines(result: report.Json) -> list[str]:
    """The table in Markdown."""
    found = result["figures"]
    rows = []
    for key, words in HEADLINE.items():
        each, spread = [f"{one[key]:.3f}" for one in found["folds"]], found["spread"][key]
        mean = f"{spread['mean']:.3f} ± {spread['sd']:.3f}"
        rows.append([words, *each, mean, interval(found["pooled"], key)])
    text = (
        f"`{found['recipe']}` without teachers, {found['epochs']} epochs, fitted {len(found['folds'])} times "
        f"and scored on the part of the {found['pooled']['records']} training records that was left out. ± "
        "is the sample standard deviation over the folds. Brackets: 95 % bootstrap interval over all records."
    )
    heads = ["", *(f"fold {one['fold']}" for one in found["folds"]), "mean", "all together"]
    return [*prose(text), "", *table(heads, rows), "", *source(result)]


def main() -> None:
    """Measure, write the result, print the table."""
    parser = report.options("folds", QUESTION)
    parser.add_argument("--recipe", default="efficientecg-xs", help="of a rhythm net")
    parser.add_argument("--folds", type=int, default=5, help="2 or more")
    parser.add_argument("--epochs", type=int, default=10, help="of every run")
    parser.add_argument("--threads", type=int, default=None, help="of torch")
    given = parser.parse_args()
    report.trained(parser, given, QUESTION, measure, lines)


if __name__ == "__main__":
    report.run(main)
