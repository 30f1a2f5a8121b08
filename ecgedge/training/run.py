"""``ecgedge train``: recipe in, float checkpoint out.

A run keeps Lightning's own checkpoint after every epoch in its output folder and goes on from there when
the same command is given again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import nn
from torch.utils.data import DataLoader

from ecgedge.datasets import cinc2017
from ecgedge.datasets.archive import data_root
from ecgedge.training import checkpoint, metrics
from ecgedge.training import recipe as recipes
from ecgedge.training.data import (
    ConditionedSet,
    CropDataset,
    WindowDataset,
    inner_split,
    load_cinc2017,
)
from ecgedge.training.module import WindowClassifier


def train(recipe: str, data: str | None = None, out: str = "runs", threads: int | None = None) -> Path:
    """Train a recipe and write ``OUT/NAME.pt``; returns its path.

    Raises
    ------
    DataError
        For an unknown recipe, missing data, or a loss that is not a number.
    """
    plan = recipes.load(recipe)
    root = data_root(data)
    if threads:
        torch.set_num_threads(threads)
    lightning.seed_everything(plan.seed, verbose=False)
    fit_set, inner_set = training_sets(root, plan)
    folder = Path(out) / plan.name
    folder.mkdir(parents=True, exist_ok=True)
    module = WindowClassifier(plan)
    crops = CropDataset(fit_set, plan, plan.seed)
    batches = DataLoader(crops, plan.optimiser.batch, shuffle=True, drop_last=True)
    inner = DataLoader(WindowDataset(inner_set, plan), 128)
    last = folder / "last.ckpt"
    trainer = lightning.Trainer(
        max_epochs=plan.optimiser.epochs,
        accelerator="auto",
        devices=1,
        gradient_clip_val=5.0,
        detect_anomaly=False,
        callbacks=[
            EMAWeightAveraging(decay=plan.optimiser.ema_decay),
            ModelCheckpoint(folder, filename="last", save_top_k=1, enable_version_counter=False),
        ],
        logger=CSVLogger(folder, name="log"),
        log_every_n_steps=20,
    )
    trainer.fit(module, batches, inner, ckpt_path=str(last) if last.exists() else None, weights_only=False)
    net = module.net.to(memory_format=torch.contiguous_format)
    settle_norms(net, batches)
    figures = score(net, inner_set, plan)
    path = Path(out) / f"{plan.name}.pt"
    checkpoint.save(path, net.state_dict(), plan, figures)
    return path


def settle_norms(net: nn.Module, batches: DataLoader[Any]) -> None:
    """Measure the batch norms' statistics anew, over one epoch: those of averaged weights are not the
    average of the statistics (Izmailov et al., UAI 2018)."""
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [m.momentum for m in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # cumulative average
    net.train()
    with torch.no_grad():
        for x, _ in batches:
            net(x)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    net.eval()


def training_sets(root: Path, plan: recipes.Recipe) -> tuple[ConditionedSet, ConditionedSet]:
    """The records to fit on and the inner validation records, all from the published training list."""
    names, _ = cinc2017.published_split(root)
    everything = load_cinc2017(root, names, plan)
    fit, inner = inner_split(everything.names, everything.labels, plan.data.inner_share)
    return everything.subset(fit), everything.subset(inner)


def window_logits(net: nn.Module, windows: WindowDataset) -> tuple[Any, Any, Any]:
    """Logits (windows, classes), labels and record numbers of all windows, as numpy arrays."""
    parts = []
    with torch.no_grad():
        for x, label, record in DataLoader(windows, 128):
            parts.append((net(x).numpy().astype(np.float64), label.numpy(), record.numpy()))
    logits, label, record = (np.concatenate(part) for part in zip(*parts, strict=True))
    return logits, label, record


def score(net: nn.Module, records: ConditionedSet, plan: recipes.Recipe) -> dict[str, Any]:
    """Figures over records, decided by the mean probability of their windows."""
    logits, _, record = window_logits(net, WindowDataset(records, plan))
    means = metrics.mean_by_record(metrics.softmax(logits), record)
    return metrics.summary(np.array(records.labels), means.argmax(axis=1), cinc2017.CLASSES)
