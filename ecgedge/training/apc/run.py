"""Training in steps: recipe in, float checkpoint out.

Every step keeps Lightning's own checkpoint of each epoch in a folder of its own and goes on from there when
the same command is given again. A step that is whole leaves its net as ``step-N.pt`` and is not run again.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

from ecgedge.datasets.archive import data_root
from ecgedge.errors import DataError
from ecgedge.models import build
from ecgedge.training import checkpoint, noise
from ecgedge.training.apc import recipe as recipes
from ecgedge.training.apc.data import Scorable, scorable
from ecgedge.training.apc.draw import Pieces, StepWindows
from ecgedge.training.apc.figures import summary
from ecgedge.training.apc.module import StepModule, log_odds
from ecgedge.training.apc.sets import Sets, load_sets
from ecgedge.training.fitting import Fit, begin, settle_norms
from ecgedge.training.progress import Progress
from ecgedge.training.trainer import Machine

if TYPE_CHECKING:
    from torch import nn

    from ecgedge.messages import Floats

MITDB_SHARE = 5
"""A record of five minutes stands for so many of LUDB's ten seconds when the weigher learns."""
LUDB_INNER = 5
"""Every so-manieth record of LUDB is kept for choosing."""
WORDS = {
    "weigher": {"inner_loss": "inner loss"},
    "classifier": {"inner_ap": "inner area under PR", "inner_auroc": "ROC"},
    "all": {"inner_ap": "inner area under PR", "inner_auroc": "ROC"},
}


def train(recipe: str, root: str | Path | None = None, out: str | Path = "runs", **machine: Any) -> Path:
    """Train a recipe and write ``OUT/NAME.pt``; returns its path. See ``training.run.train``."""
    return fit(recipes.load(recipe), data_root(root), Path(out), Machine(**machine))


def fit(
    plan: recipes.ApcRecipe,
    root: Path,
    out: Path,
    machine: Machine,
    *,
    sets: Sets | None = None,
) -> Path:
    """``train`` for a recipe in hand; ``sets`` are recordings in place of those that it would load."""
    folder = begin(plan, out, machine)
    net = build(plan.architecture, plan.net)
    Progress(1).say("reading and conditioning the records")
    sets = sets or load_sets(root, plan, out / "waves")
    inner = scorable(sets.inner, plan)
    if len(set(inner.labels.tolist())) < 2:
        raise DataError(f"inner records {plan.data.inner}", "windows with and without what is sought")
    disturbance = noise.load(root, plan)
    for number in range(len(plan.steps)):
        whole = folder / f"step-{number + 1}.pt"
        if whole.is_file() and (done := checkpoint.load_as(whole, recipes.from_table)).recipe == plan:
            net = done.net
            continue
        pieces = _pieces(plan, number, sets, disturbance)
        watched = _watched(plan, number, sets, inner, net)
        net = _step(net, plan, number, whole.with_suffix(""), pieces, watched, machine)
        checkpoint.save(whole, net.state_dict(), plan, {})
    figures = summary(inner.labels, scores(net, inner), inner.names)
    path = out / f"{plan.name}.pt"
    checkpoint.save(path, net.state_dict(), plan, figures)
    Progress(1).say(f"wrote {path}: inner area under precision-recall {figures['average_precision']:.3f}")
    return path


def _step(
    net: nn.Module,
    plan: recipes.ApcRecipe,
    number: int,
    folder: Path,
    pieces: Pieces,
    watched: DataLoader[Any],
    machine: Machine,
) -> nn.Module:
    """Run one step, or what is left of it; returns the net with its averaged weights."""
    step = plan.steps[number]
    task = Fit(folder, plan, recipes.from_table, machine, step.epochs, WORDS[step.trains])
    task.progress.say(f"step {number + 1} of {len(plan.steps)}: {step.trains}")
    drawn, module = StepWindows(pieces, plan, number), StepModule(net, plan, number)
    task.run(module, drawn, watched)
    made: nn.Module = module.net
    after = (batch[: len(net.inputs)] for batch in task.after(drawn))  # type: ignore[arg-type]
    settle_norms(made, after, plan.seed, module.learning)
    return made.eval()


def _pieces(plan: recipes.ApcRecipe, number: int, sets: Sets, disturbance: noise.Noise) -> Pieces:
    """Where a step's windows come from."""
    if plan.steps[number].trains != "weigher":
        return Pieces(sets.fit, sets.borrowed, plan, disturbance)
    by_hand = [r for k, r in enumerate(sets.delineated) if k % LUDB_INNER]
    return Pieces(
        by_hand + [r for r in sets.fit if r.weights is not None] * MITDB_SHARE, [], plan, disturbance
    )


def _watched(
    plan: recipes.ApcRecipe, number: int, sets: Sets, inner: Scorable, net: nn.Module
) -> DataLoader[Any]:
    """What is scored after each epoch: the labels of inner windows, or attention where annotators told it."""
    if plan.steps[number].trains == "weigher":
        told = scorable(sets.delineated[::LUDB_INNER], plan)
        return DataLoader(TensorDataset(*told.inputs(slice(None), ("signal", "weights"))), 128)
    some = slice(None, None, 2)  # those between overlap their neighbours
    columns = inner.inputs(some, net.inputs)  # type: ignore[arg-type]
    return DataLoader(TensorDataset(*columns, torch.from_numpy(inner.labels[some])), 128)


def scores(net: nn.Module, windows: Scorable) -> Floats:
    """Log odds of all windows, shape (n,), float64."""
    parts = []
    with torch.no_grad():
        for first in range(0, len(windows.names), 128):
            given = windows.inputs(slice(first, first + 128), net.inputs)  # type: ignore[arg-type]
            parts.append(log_odds(net, given).double().numpy())
    return np.concatenate(parts)
