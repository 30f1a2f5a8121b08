"""Training in steps: recipe in, float checkpoint out.

Every step keeps Lightning's own checkpoint of each epoch in a folder of its own and goes on from there when
the same command is given again. A step that is whole leaves its net as ``step-N.pt`` and is not run again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning
import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

from ecgedge.datasets import cinc2017
from ecgedge.datasets.archive import data_root
from ecgedge.errors import DataError, UsageError
from ecgedge.models import build
from ecgedge.training import checkpoint, noise
from ecgedge.training.apc import recipe as recipes
from ecgedge.training.apc.data import (
    Pieces,
    Recording,
    Scorable,
    StepWindows,
    load_cinc2017,
    load_ludb,
    load_mitdb,
    scorable,
    training_lists,
)
from ecgedge.training.apc.figures import summary
from ecgedge.training.apc.module import StepModule, log_odds
from ecgedge.training.data import EpochOrder
from ecgedge.training.place import usable
from ecgedge.training.progress import Progress
from ecgedge.training.run import kept
from ecgedge.training.trainer import hushed, interruptible, make_trainer

if TYPE_CHECKING:
    from torch import nn

    from ecgedge.messages import Floats

MITDB_SHARE = 5
"""A record of five minutes stands for so many of LUDB's ten seconds when the weigher learns."""
LUDB_INNER = 5
"""Every so-manieth record of LUDB is kept for choosing."""
BORROWED = {"N": 300, "A": 100}
"""Records of CinC 2017 that are borrowed, by class; in neither is a premature atrial beat to be told."""
WORDS = {
    "weigher": {"inner_loss": "inner loss"},
    "classifier": {"inner_ap": "inner area under PR", "inner_auroc": "ROC"},
    "all": {"inner_ap": "inner area under PR", "inner_auroc": "ROC"},
}


@dataclass(frozen=True, eq=False)
class Sets:
    """All that a run learns and chooses from."""

    fit: list[Recording]
    inner: list[Recording]
    borrowed: list[Recording]
    delineated: list[Recording]
    """With the annotators' boundaries: LUDB, for the weigher."""


def load_sets(root: Path, plan: recipes.ApcRecipe, waves: Path) -> Sets:
    """Read and condition what a recipe asks for.

    Parameters
    ----------
    waves : folder where neurokit2's delineation is kept

    Raises
    ------
    DataError
        For a set or record that is missing or damaged.
    """
    fit, inner = training_lists(root, plan)
    weigher = any(step.trains == "weigher" for step in plan.steps)
    wanted = waves if weigher or plan.architecture == "danet-h" else None
    by_hand = load_ludb(root, plan) if weigher else []
    if plan.data.set == "cinc2017":
        each = [load_cinc2017(root, names, plan, "NAO", "A") for names in (fit, inner)]
        return Sets(each[0], each[1], [], by_hand)
    hard = waves if plan.architecture == "danet-h" else None
    borrowed = _borrowed(root, plan, hard) if plan.data.borrowed else []
    own = load_mitdb(root, fit, plan, wanted)
    return Sets(own, load_mitdb(root, inner, plan, hard), borrowed, by_hand)


def _borrowed(root: Path, plan: recipes.ApcRecipe, waves: Path | None) -> list[Recording]:
    """Records spread evenly over the published training list."""
    names, _ = cinc2017.published_split(root)
    known = cinc2017.labels_by_record(root)
    chosen = []
    for letter, most in BORROWED.items():
        mine = [name for name in names if cinc2017.CLASSES[known[name]] == letter]
        chosen += mine[:: max(1, len(mine) // most)][:most]
    return load_cinc2017(root, sorted(chosen), plan, "".join(BORROWED), waves=waves)


def train(
    recipe: str,
    root: str | Path | None = None,
    out: str | Path = "runs",
    threads: int | None = None,
    *,
    workers: int = 0,
    devices: str | int = "auto",
    precision: str = "32",
) -> Path:
    """Train a recipe and write ``OUT/NAME.pt``; returns its path. See ``training.run.train``."""
    plan, folder = recipes.load(recipe), data_root(root)
    return fit(plan, folder, Path(out), threads, workers=workers, devices=devices, precision=precision)


def fit(
    plan: recipes.ApcRecipe,
    root: Path,
    out: Path,
    threads: int | None = None,
    *,
    workers: int = 0,
    devices: str | int = "auto",
    precision: str = "32",
    sets: Sets | None = None,
) -> Path:
    """``train`` for a recipe in hand; ``sets`` are recordings in place of those that it would load."""
    if threads:
        torch.set_num_threads(threads)
    lightning.seed_everything(plan.seed, verbose=False)
    net = build(plan.architecture, plan.net)
    folder = usable(out / plan.name)
    Progress(1).say("reading and conditioning the records")
    sets = sets or load_sets(root, plan, out / "waves")
    inner = scorable(sets.inner, plan)
    if inner.labels.min() == inner.labels.max():
        raise DataError(f"inner records {plan.data.inner}", "windows with and without what is sought")
    disturbance = noise.load(root, plan)
    how: dict[str, Any] = {"workers": workers, "devices": devices, "precision": precision}
    for number in range(len(plan.steps)):
        whole = folder / f"step-{number + 1}.pt"
        if whole.is_file() and (done := checkpoint.load_as(whole, recipes.from_table)).recipe == plan:
            net = done.net
            continue
        net = _step(net, plan, number, whole.with_suffix(""), sets, inner, disturbance, **how)
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
    sets: Sets,
    inner: Scorable,
    disturbance: noise.Noise,
    *,
    workers: int,
    devices: str | int,
    precision: str,
) -> nn.Module:
    """Run one step, or what is left of it; returns the net with its averaged weights."""
    step, batch = plan.steps[number], plan.optimiser.batch
    last, epoch = kept(folder / "last.ckpt", plan.name, lambda table: _is_of(plan, table))
    progress = Progress(step.epochs, WORDS[step.trains])
    progress.say(f"step {number + 1} of {len(plan.steps)}: {step.trains}")
    with hushed():
        trainer = make_trainer(
            folder, progress, devices, precision,
            epochs=step.epochs, seed=plan.seed, ema_decay=plan.optimiser.ema_decay,
        )  # fmt: skip
    processes = trainer.world_size
    if batch % processes:
        raise UsageError(f"a batch of {batch} on {processes} devices", "a batch that they can share")
    folder.mkdir(parents=True, exist_ok=True)
    drawn = StepWindows(_pieces(plan, number, sets, disturbance), plan, number)
    order = EpochOrder(len(drawn), plan.seed, epoch, trainer.global_rank, processes)
    batches = DataLoader(drawn, batch // processes, sampler=order, drop_last=True, num_workers=workers)
    watched = _watched(plan, number, sets, inner, net)
    module = StepModule(net, plan, number)
    with hushed(), interruptible():
        trainer.fit(module, batches, watched, ckpt_path=last, weights_only=False)
    # The averaged weights: Lightning puts them into the module at the end of training only.
    module.load_state_dict(
        torch.load(folder / "last.ckpt", map_location="cpu", weights_only=False)["state_dict"]
    )
    made: nn.Module = module.net.to(memory_format=torch.contiguous_format).cpu()  # type: ignore[call-overload]
    torch.manual_seed(plan.seed)  # dropout
    after = EpochOrder(len(drawn), plan.seed, step.epochs)
    settle(
        made, module.learning, DataLoader(drawn, batch, sampler=after, drop_last=True, num_workers=workers)
    )
    return made.eval()


def _is_of(plan: recipes.ApcRecipe, table: Any) -> bool:
    """Whether a kept recipe is this one."""
    try:
        return isinstance(table, dict) and recipes.from_table(table, "kept") == plan
    except DataError:
        return False


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


def settle(net: nn.Module, part: nn.Module, batches: DataLoader[Any]) -> None:
    """Measure the norms' statistics anew where weights changed; see ``run.settle_norms``."""
    norms = [m for m in part.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    momenta = [m.momentum for m in norms]
    net.eval()
    part.train()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # cumulative average
    with torch.no_grad():
        for batch in batches:
            net(*batch[: len(net.inputs)])  # type: ignore[arg-type]
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    net.eval()


def scores(net: nn.Module, windows: Scorable) -> Floats:
    """Log odds of all windows, shape (n,), float64."""
    parts = []
    with torch.no_grad():
        for first in range(0, len(windows.names), 128):
            given = windows.inputs(slice(first, first + 128), net.inputs)  # type: ignore[arg-type]
            parts.append(log_odds(net, given).double().numpy())
    return np.concatenate(parts)
