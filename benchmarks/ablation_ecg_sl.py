"""What pre-training, attention pooling and RR figures are worth to the net after ECG-SL.

Nets trained alike but for one thing, for a small budget: differences within a table count, not its level.
One seed each, so that differences of a few hundredths mean nothing. DS2 and the published validation records
are not looked at. The kept result is of windows without figures of likeness to the template.

* Beats (recipe ecg-sl without weak labels, made beats and second opinion): fitted on records of DS1, scored
  on eight others of it. Without pre-training, after stage 1 (single beats), after both; with a share of the
  labelled windows, spread evenly; and with all labels without RR figures.
* Rhythm (recipe ecg-sl-rhythm): CinC 2017, every so-manieth record of the inner split; pooling by attention
  against the mean.
"""

from __future__ import annotations

import copy
import dataclasses
import tempfile
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks import report
from ecgedge.datasets.archive import data_root
from ecgedge.models import build
from ecgedge.models.ecg_sl import BeatDecoder
from ecgedge.training.beats import recipe as recipes
from ecgedge.training.beats import run
from ecgedge.training.beats.figures import summary
from ecgedge.training.beats.sets import Sets, load_sets, names_of, pieces, windows
from ecgedge.training.trainer import Machine

if TYPE_CHECKING:
    from torch import nn

    from ecgedge.training.beats.recipe import BeatRecipe

QUESTION = "What are pre-training, attention pooling and RR figures worth to the net after ECG-SL?"
HELD_OUT = ["106", "114", "124", "203", "205", "220", "223", "230"]
"""Records of DS1 that the beat nets are scored on."""
SHARES = {"1 %": 0.01, "10 %": 0.1, "100 %": 1.0}
STAGES = {"none": (), "stage 1": ("beats",), "both": ("beats", "masked")}
WATCHED = 200
"""Windows that are scored after each epoch; all of them at the end."""


def beat_plan(given: Namespace) -> BeatRecipe:
    """The recipe of the product, with a small budget."""
    plan = recipes.load("ecg-sl")
    return dataclasses.replace(
        plan,
        name="ablation",
        net={**plan.net, "reading": 0},
        data=dataclasses.replace(plan.data, inner=HELD_OUT, weak=0, made=0, blocked=0, fibrillating=0),
        pretraining=recipes.PretrainingOptions(1, 1, records=given.records),
        optimiser=dataclasses.replace(plan.optimiser, batch=given.batch, ema_decay=0.98),
    )


def trained(
    plan: BeatRecipe, sets: Sets, stages: tuple[str, ...], epochs: int, folder: Path, start: Any = None
) -> tuple[nn.Module, BeatDecoder]:
    """A net after these stages, from weights at random or from ``start``, a net and its decoder."""
    torch.manual_seed(plan.seed)
    net = build(plan.architecture, plan.net)
    decoder = BeatDecoder(plan.net["samples"], tuple(plan.net["channels"]), plan.net["width"])
    if start is not None:
        net, decoder = copy.deepcopy(start)
    some = np.arange(0, len(sets.inner), max(1, len(sets.inner) // WATCHED))
    few = Sets(sets.fit, sets.inner.take(some), sets.unlabelled)
    for stage in stages:
        run.run_stage(net, decoder, plan, stage, epochs, folder / stage, few, Machine())
    return net, decoder


def scored(plan: BeatRecipe, sets: Sets, epochs: int, folder: Path, start: Any = None) -> report.Json:
    """Figures of a net trained on labels, on all inner windows."""
    net, _ = trained(plan, sets, ("labels",), epochs, folder, start)
    run.settle(net, sets.fit, plan)
    return summary(sets.inner.labels, run.logits_of(net, sets.inner), plan)


def beats(root: Path, given: Namespace, work: Path) -> report.Json:
    """Pre-training by share of labels, and RR figures."""
    plan = beat_plan(given)
    sets = load_sets(root, plan)
    starts = {
        name: trained(plan, sets, stages, 1, work / name) if stages else None
        for name, stages in STAGES.items()
    }
    counts = {"fitted_on": len(sets.fit), "unlabelled": len(sets.unlabelled)}
    out: report.Json = {**counts, "held_out": HELD_OUT}
    for words, share in SHARES.items():
        fit = sets.fit.take(np.arange(0, len(sets.fit), round(1 / share)))
        epochs = max(given.epochs, round(given.steps * given.batch / len(fit)))
        part = Sets(fit, sets.inner, sets.unlabelled)
        out[words] = {"windows": len(fit), "epochs": epochs}
        for name, start in starts.items():
            out[words][name] = scored(plan, part, epochs, work / f"{name}-{share}", start)
            print(f"{words} of the labels, {name}: macro F1 {out[words][name]['macro_f1']:.3f}", flush=True)
    bare = dataclasses.replace(plan, net={**plan.net, "intervals": False})
    out["without RR figures"] = scored(bare, sets, given.epochs, work / "bare")
    print(f"without RR figures: macro F1 {out['without RR figures']['macro_f1']:.3f}", flush=True)
    return out


def rhythm(root: Path, given: Namespace, work: Path) -> report.Json:
    """Pooling by attention and by the mean."""
    plan = recipes.load("ecg-sl-rhythm")
    plan = dataclasses.replace(
        plan,
        pretraining=recipes.PretrainingOptions(0, 0),
        optimiser=dataclasses.replace(plan.optimiser, batch=given.batch, ema_decay=0.98),
    )
    fit_names, inner_names = names_of(root, plan)
    chosen = (set(sorted(fit_names)[:: given.every]), inner_names)
    fit, inner = (windows(pieces(root, plan, names, 0), plan) for names in chosen)
    sets = Sets(fit, inner, fit)
    out: report.Json = {"fitted_on": len(fit), "scored_on": len(inner), "epochs": given.rhythm_epochs}
    for pooling in ("attention", "mean"):
        one = dataclasses.replace(plan, net={**plan.net, "pooling": pooling})
        out[pooling] = scored(one, sets, given.rhythm_epochs, work / pooling)
        print(f"{pooling}: macro F1 {out[pooling]['macro_f1']:.3f}", flush=True)
    return out


def main() -> None:
    """Measure and write the result."""
    parser = report.options("ablation_ecg_sl", QUESTION)
    parser.add_argument("--batch", type=int, default=32, help="windows")
    parser.add_argument("--epochs", type=int, default=2, help="on all labels, and at least")
    parser.add_argument("--steps", type=int, default=200, help="on a share of the labels, at least")
    parser.add_argument("--records", type=int, default=700, help="of CinC 2017 for pre-training")
    parser.add_argument("--every", type=int, default=5, metavar="N", help="fit rhythms on every Nth record")
    parser.add_argument("--rhythm-epochs", type=int, default=6, help="of the rhythm nets")
    given = parser.parse_args()
    root = data_root(given.root)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        figures = {"beats": beats(root, given, work), "rhythm": rhythm(root, given, work)}
    print(report.write(parser, given, QUESTION, {}, figures))


if __name__ == "__main__":
    main()
