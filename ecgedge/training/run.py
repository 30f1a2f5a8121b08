"""``ecgedge train``: recipe in, float checkpoint out.

A run keeps Lightning's own checkpoint after every epoch in its output folder and goes on from there when
the same command is given again.
"""

from __future__ import annotations

import logging
import pickle
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
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
from ecgedge.errors import DataError
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
from ecgedge.training.progress import Progress

FEWEST_STEPS = 5
"""The one-cycle schedule rises in the first quarter of the run and needs two steps for it."""


def train(recipe: str, data: str | None = None, out: str = "runs", threads: int | None = None) -> Path:
    """Train a recipe and write ``OUT/NAME.pt``; returns its path.

    Raises
    ------
    DataError
        For an unknown recipe, missing data, a kept run of another recipe, or a loss that is no number.
    KeyboardInterrupt
        On Ctrl-C or SIGTERM; the same command goes on after the last whole epoch.
    """
    plan = recipes.load(recipe)
    root = data_root(data)
    if threads:
        torch.set_num_threads(threads)
    lightning.seed_everything(plan.seed, verbose=False)
    module = WindowClassifier(plan)
    folder = Path(out) / plan.name
    kept = _kept(folder / "last.ckpt", plan)
    progress = Progress(plan.optimiser.epochs)
    progress.say("reading and conditioning the records")
    fit_set, inner_set = training_sets(root, plan)
    steps = len(fit_set.names) // plan.optimiser.batch * plan.optimiser.epochs
    if steps < FEWEST_STEPS:
        found = (
            f"{len(fit_set.names)} records to fit on, {plan.optimiser.batch} a batch: {steps} steps in all"
        )
        raise DataError(found, f"{FEWEST_STEPS} or more", "Take smaller batches or more epochs.")
    folder.mkdir(parents=True, exist_ok=True)
    # In this process: a worker's copy of the crops' generator would give every epoch the same crops.
    batches = DataLoader(
        CropDataset(fit_set, plan, plan.seed), plan.optimiser.batch, shuffle=True, drop_last=True
    )
    inner = DataLoader(WindowDataset(inner_set, plan), 128)
    with _lightning_hushed(), _interruptible():
        trainer = lightning.Trainer(
            max_epochs=plan.optimiser.epochs,
            accelerator="auto",
            devices=1,
            gradient_clip_val=5.0,
            callbacks=[
                EMAWeightAveraging(decay=plan.optimiser.ema_decay),
                ModelCheckpoint(folder, filename="last", save_top_k=1, enable_version_counter=False),
                progress,
            ],
            logger=CSVLogger(folder, name="log"),
            log_every_n_steps=1,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, batches, inner, ckpt_path=kept, weights_only=False)
    # The averaged weights. Lightning itself puts them into the module at the end of training only: not when
    # the kept run was already whole.
    module.load_state_dict(
        torch.load(folder / "last.ckpt", map_location="cpu", weights_only=False)["state_dict"]
    )
    progress.say("measuring the norms' statistics and scoring")
    net = module.net.to(memory_format=torch.contiguous_format)
    settle_norms(net, batches)
    figures = score(net, inner_set, plan)
    path = Path(out) / f"{plan.name}.pt"
    checkpoint.save(path, net.state_dict(), plan, figures)
    progress.say(
        f"wrote {path}: inner macro F1 {figures['macro_f1']:.3f}, accuracy {figures['accuracy']:.3f}"
    )
    return path


def _kept(last: Path, plan: recipes.Recipe) -> str | None:
    """The checkpoint of an earlier, unfinished run of this very recipe, to go on from."""
    if not last.exists():
        return None
    advice = f"Delete {last}, or choose another --out."
    try:
        content = torch.load(last, map_location="cpu", weights_only=False)
    except (pickle.UnpicklingError, RuntimeError, ValueError, LookupError, EOFError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{last.name} cannot be read ({reason})", "a kept training run", advice) from None
    if not isinstance(content, dict) or content.get("recipe", asdict(plan)) != asdict(plan):
        raise DataError(f"{last} was kept by a run of another recipe", plan.name, advice)
    return str(last)


@contextmanager
def _lightning_hushed() -> Iterator[None]:
    """Without Lightning's greetings, and without its advice that does not hold here."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            # See batches: no workers on purpose.
            warnings.filterwarnings("ignore", message=".*does not have many workers")
            # Calls of Lightning's that newer versions of torch would have otherwise.
            warnings.filterwarnings("ignore", category=FutureWarning, module=r"lightning\.")
            # The run's own folder, gone on with on purpose.
            warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
            yield
    finally:
        logger.setLevel(level)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Lightning turns Ctrl-C into exit code 1 and SIGTERM into 0, and goes deaf to further ones."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit:
        raise KeyboardInterrupt from None
    finally:
        if signal.getsignal(signal.SIGINT) is not before:
            signal.signal(signal.SIGINT, before)


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
