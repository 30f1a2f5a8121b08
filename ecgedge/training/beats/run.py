"""Training in three stages: recipe in, float checkpoint out.

Every stage keeps Lightning's own checkpoint of each epoch in a folder of its own and goes on from there when
the same command is given again; a stage that is whole is not run again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ecgedge.datasets.archive import data_root
from ecgedge.models import build
from ecgedge.models.ecg_sl import BeatDecoder
from ecgedge.training import checkpoint
from ecgedge.training.beats import recipe as recipes
from ecgedge.training.beats.figures import summary
from ecgedge.training.beats.module import BeatClassifier, Reconstruction
from ecgedge.training.beats.sets import Sets, load_sets
from ecgedge.training.fitting import Fit, begin, settle_norms
from ecgedge.training.progress import Progress
from ecgedge.training.trainer import Machine

if TYPE_CHECKING:
    from torch import nn

    from ecgedge.messages import Floats
    from ecgedge.training.beats.data import BeatSet
    from ecgedge.training.learner import Learner

STAGES = ("beats", "masked", "labels")
AT_ONCE = 256
"""Windows that are scored together."""


class Windows(Dataset[list[Tensor]]):
    """Windows as tensors, fetched a batch at a time; an index is (epoch, window)."""

    def __init__(self, windows: BeatSet) -> None:
        self._windows = windows

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, at: tuple[int, int]) -> list[Tensor]:
        return self.__getitems__([at])

    def __getitems__(self, places: list[tuple[int, int]]) -> list[Tensor]:
        """One batch: three inputs of shape (n, 1, beats, columns), and labels."""
        return batch(self._windows, np.array([k for _, k in places]))


def batch(windows: BeatSet, rows: Any) -> list[Tensor]:
    """Some windows as tensors."""
    w = windows
    inputs = [torch.from_numpy(x[rows].astype(np.float32))[:, None] for x in (w.segments, w.deviations)]
    figures = torch.from_numpy(w.intervals[rows].astype(np.float32))[:, None]
    return [*inputs, figures, torch.from_numpy(w.labels[rows])]


def batches(windows: BeatSet) -> Iterator[list[Tensor]]:
    """All windows in order."""
    for first in range(0, len(windows), AT_ONCE):
        yield batch(windows, slice(first, first + AT_ONCE))


def train(recipe: str, root: str | Path | None = None, out: str | Path = "runs", **machine: Any) -> Path:
    """Train a recipe and write ``OUT/NAME.pt``; returns its path. See ``training.run.train``."""
    return fit(recipes.load(recipe), data_root(root), Path(out), Machine(**machine))


def fit(
    plan: recipes.BeatRecipe,
    root: Path,
    out: Path,
    machine: Machine,
    *,
    sets: Sets | None = None,
) -> Path:
    """``train`` for a recipe in hand; ``sets`` are windows in place of those that it would load."""
    folder = begin(plan, out, machine)
    net = build(plan.architecture, plan.net)
    decoder = BeatDecoder(net.config.samples, net.config.channels, net.config.width)  # type: ignore[union-attr, arg-type]
    Progress(1).say("reading recordings and cutting them into windows of beats")
    sets = sets or load_sets(root, plan)
    p = plan.pretraining
    for stage, epochs in zip(STAGES, (p.beat_epochs, p.masked_epochs, plan.optimiser.epochs), strict=True):
        if epochs:
            run_stage(net, decoder, plan, stage, epochs, folder / stage, sets, machine)
    settle(net, sets.fit, plan)
    figures = summary(sets.inner.labels, logits_of(net, sets.inner), plan)
    path = out / f"{plan.name}.pt"
    checkpoint.save(path, net.state_dict(), plan, figures)
    Progress(1).say(f"wrote {path}: inner macro F1 {figures['macro_f1']:.3f}")
    return path


def run_stage(
    net: nn.Module,
    decoder: BeatDecoder,
    plan: recipes.BeatRecipe,
    stage: str,
    epochs: int,
    folder: Path,
    sets: Sets,
    machine: Machine,
) -> None:
    """Run one stage, or what is left of it; net and decoder have its averaged weights then."""
    labels = stage == "labels"
    words = {"inner_f1": "inner macro F1"} if labels else {}
    task = Fit(folder, plan, recipes.from_table, machine, epochs, words)
    task.progress.say(f"stage {STAGES.index(stage) + 1} of 3: {stage}")
    module: Learner = (
        BeatClassifier(net, plan)  # type: ignore[arg-type]
        if labels
        else Reconstruction(net, decoder, plan, masked=stage == "masked")  # type: ignore[arg-type]
    )
    drawn = Windows(sets.fit if labels else sets.unlabelled)
    inner: Any = DataLoader(list(batches(sets.inner)), batch_size=None) if labels else None  # type: ignore[arg-type]
    task.run(module, drawn, inner, collate_fn=list)


def settle(net: nn.Module, windows: BeatSet, plan: recipes.BeatRecipe) -> None:
    """Measure the norms' statistics anew, on windows without augmentation."""
    settle_norms(net, (inputs[: len(plan.inputs)] for *inputs, _ in batches(windows)), plan.seed)


def logits_of(net: nn.Module, windows: BeatSet) -> Floats:
    """Logits of all windows, shape (windows, reported, classes) or (windows, classes), float64."""
    parts = []
    with torch.no_grad():
        for *inputs, _ in batches(windows):
            parts.append(net(*inputs[: len(net.inputs)]).double().numpy())  # type: ignore[arg-type]
    return np.concatenate(parts)
