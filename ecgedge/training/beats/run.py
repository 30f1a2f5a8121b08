"""Training in three stages: recipe in, float checkpoint out.

Every stage keeps Lightning's own checkpoint of each epoch in a folder of its own and goes on from there when
the same command is given again; a stage that is whole is not run again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ecgedge.datasets.archive import data_root
from ecgedge.errors import DataError, UsageError
from ecgedge.models import build
from ecgedge.models.ecg_sl import BeatDecoder
from ecgedge.training import checkpoint
from ecgedge.training.beats import recipe as recipes
from ecgedge.training.beats.figures import summary
from ecgedge.training.beats.module import BeatClassifier, Reconstruction
from ecgedge.training.beats.sets import Sets, load_sets
from ecgedge.training.data import EpochOrder
from ecgedge.training.place import usable
from ecgedge.training.progress import Progress
from ecgedge.training.run import FEWEST_STEPS, kept, settle_norms
from ecgedge.training.trainer import hushed, interruptible, make_trainer

if TYPE_CHECKING:
    from torch import nn

    from ecgedge.messages import Floats
    from ecgedge.training.beats.data import BeatSet

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


def train(
    recipe: str,
    data: str | Path | None = None,
    out: str | Path = "runs",
    threads: int | None = None,
    *,
    workers: int = 0,
    devices: str | int = "auto",
    precision: str = "32",
) -> Path:
    """Train a recipe and write ``OUT/NAME.pt``; returns its path. See ``training.run.train``."""
    plan, root = recipes.load(recipe), data_root(data)
    return fit(plan, root, Path(out), threads, workers=workers, devices=devices, precision=precision)


def fit(
    plan: recipes.BeatRecipe,
    root: Path,
    out: Path,
    threads: int | None = None,
    *,
    workers: int = 0,
    devices: str | int = "auto",
    precision: str = "32",
    sets: Sets | None = None,
) -> Path:
    """``train`` for a recipe in hand; ``sets`` are windows in place of those that it would load."""
    if threads:
        torch.set_num_threads(threads)
    lightning.seed_everything(plan.seed, verbose=False)
    net = build(plan.architecture, plan.net)
    decoder = BeatDecoder(net.config.samples, net.config.channels, net.config.width)  # type: ignore[union-attr, arg-type]
    folder = usable(out / plan.name)
    Progress(1).say("reading recordings and cutting them into windows of beats")
    sets = sets or load_sets(root, plan)
    how: dict[str, Any] = {"workers": workers, "devices": devices, "precision": precision}
    p = plan.pretraining
    for stage, epochs in zip(STAGES, (p.beat_epochs, p.masked_epochs, plan.optimiser.epochs), strict=True):
        if epochs:
            run_stage(net, decoder, plan, stage, epochs, folder / stage, sets, **how)
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
    *,
    workers: int,
    devices: str | int,
    precision: str,
) -> None:
    """Run one stage, or what is left of it; net and decoder have its averaged weights then."""
    last, epoch = kept(folder / "last.ckpt", plan.name, lambda table: _is_of(plan, table))
    labels = stage == "labels"
    progress = Progress(epochs, {"inner_f1": "inner macro F1"} if labels else {})
    progress.say(f"stage {STAGES.index(stage) + 1} of 3: {stage}")
    with hushed():
        trainer = make_trainer(
            folder, progress, devices, precision,
            epochs=epochs, seed=plan.seed, ema_decay=plan.optimiser.ema_decay,
        )  # fmt: skip
    size, processes = plan.optimiser.batch, trainer.world_size
    if size % processes:
        raise UsageError(f"a batch of {size} on {processes} devices", "a batch that they can share")
    windows = sets.fit if labels else sets.unlabelled
    if len(windows) // size * epochs < FEWEST_STEPS:
        found = f"{len(windows)} windows to learn from, {size} a batch, {epochs} epochs"
        raise DataError(found, f"{FEWEST_STEPS} steps or more", "Take smaller batches or more epochs.")
    folder.mkdir(parents=True, exist_ok=True)
    order = EpochOrder(len(windows), plan.seed, epoch, trainer.global_rank, processes)
    share = size // processes
    drawn = Windows(windows)
    loader = DataLoader(drawn, share, sampler=order, drop_last=True, num_workers=workers, collate_fn=list)
    module: Any = (
        BeatClassifier(net, plan)  # type: ignore[arg-type]
        if labels
        else Reconstruction(net, decoder, plan, masked=stage == "masked")  # type: ignore[arg-type]
    )
    with hushed(), interruptible():
        trainer.fit(
            module,
            loader,
            DataLoader(list(batches(sets.inner)), batch_size=None) if labels else None,  # type: ignore[arg-type]
            ckpt_path=last,
            weights_only=False,
        )
    # The averaged weights: Lightning puts them into the module at the end of training only.
    module.load_state_dict(
        torch.load(folder / "last.ckpt", map_location="cpu", weights_only=False)["state_dict"]
    )
    module.cpu()
    net.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]


def _is_of(plan: recipes.BeatRecipe, table: Any) -> bool:
    """Whether a kept recipe is this one."""
    try:
        return isinstance(table, dict) and recipes.from_table(table, "kept") == plan
    except DataError:
        return False


def settle(net: nn.Module, windows: BeatSet, plan: recipes.BeatRecipe) -> None:
    """Measure the norms' statistics anew, on windows without augmentation; see ``run.settle_norms``."""
    torch.manual_seed(plan.seed)  # dropout
    plain = [(inputs[: len(plan.inputs)], told) for *inputs, told in batches(windows)]
    settle_norms(net, plain)  # type: ignore[arg-type]


def logits_of(net: nn.Module, windows: BeatSet) -> Floats:
    """Logits of all windows, shape (windows, reported, classes) or (windows, classes), float64."""
    parts = []
    with torch.no_grad():
        for *inputs, _ in batches(windows):
            parts.append(net(*inputs[: len(net.inputs)]).double().numpy())  # type: ignore[arg-type]
    return np.concatenate(parts)
