"""``ecgedge train``: recipe in, float checkpoint out.

A run keeps Lightning's own checkpoint after every epoch in its output folder and goes on from there when
the same command is given again.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from ecgedge.datasets import cinc2017
from ecgedge.datasets.archive import data_root
from ecgedge.errors import DataError, UsageError
from ecgedge.training import checkpoint, metrics, noise, variants
from ecgedge.training import recipe as recipes
from ecgedge.training.augment import Augmenter
from ecgedge.training.data import (
    ConditionedSet,
    CropDataset,
    WindowDataset,
    calibration_windows,
    inner_split,
    load_cinc2017,
)
from ecgedge.training.fitting import Fit, begin, settle_norms
from ecgedge.training.module import WindowClassifier
from ecgedge.training.published import Published
from ecgedge.training.trainer import Machine


def train(
    recipe: str,
    root: str | Path | None = None,
    out: str | Path = "runs",
    *,
    seed: int | None = None,
    fold: str | None = None,
    **machine: Any,
) -> Path:
    """Train a recipe and write ``OUT/NAME.pt``; returns its path.

    Parameters
    ----------
    recipe : name or path
    root : folder of the data sets; default: ECGEDGE_DATA
    seed : in place of the recipe's, see ``variants``
    fold : ``K/N``, which of N parts of the training list is left out, see ``variants``
    machine : fields of ``trainer.Machine``

    Raises
    ------
    DataError
        For an unknown recipe, missing data, a kept run of another recipe, or a loss that is no number.
    UsageError
        For devices or a precision that this machine has not, a batch that they cannot share, or a seed or
        fold that cannot be.
    KeyboardInterrupt
        On Ctrl-C or SIGTERM; the same command goes on after the last whole epoch.
    """
    plan = variants.varied(recipes.load(recipe), seed, fold)
    return fit(plan, data_root(root), Path(out), Machine(**machine))


def fit(
    plan: recipes.Recipe,
    root: Path,
    out: Path,
    machine: Machine,
    *,
    sets: tuple[ConditionedSet, ConditionedSet] | None = None,
) -> Path:
    """``train`` for a recipe in hand; ``sets`` are records to fit on and to score, in place of its own."""
    if plan.rounded and machine.precision != "32":  # whose own rounding would hide that of int8
        found = f"{plan.name}, which learns with the rounding of int8, at precision {machine.precision}"
        raise UsageError(found, "--precision 32")
    folder = begin(plan, out, machine)
    module = WindowClassifier(plan, _teachers(plan, out))
    if plan.start is not None:
        _start(module.net, plan.start, plan, out)
    module.earlier = _hashes(plan, out)
    task = Fit(folder, plan, recipes.from_table, machine, plan.optimiser.epochs, earlier=module.earlier)
    task.progress.say("reading and conditioning the records")
    disturbance = noise.load(root, plan)
    fit_set, inner_set = sets or training_sets(root, plan)
    crops = _crops(plan, fit_set, disturbance)
    if plan.rounded:
        windows = calibration_windows(fit_set, plan)
        module.calibration = [inputs for inputs, _, _ in DataLoader(windows, plan.optimiser.batch)]
    task.run(module, crops, DataLoader(WindowDataset(inner_set, plan), 128), of="records")
    path = out / f"{plan.name}.pt"
    if not task.first:
        return path
    task.progress.say("measuring the norms' statistics and scoring")
    net = module.net.eval()
    if not plan.rounded:  # what the norms saw while rounding, and its shift with it, is what int8 needs
        settle_norms(net, (inputs for inputs, _ in task.after(crops)), plan.seed)
    figures = score(net, inner_set, plan)
    checkpoint.save(path, net.state_dict(), plan, figures)
    task.progress.say(
        f"wrote {path}: inner macro F1 {figures['macro_f1']:.3f}, accuracy {figures['accuracy']:.3f}"
    )
    return path


def _crops(plan: recipes.Recipe, fit_set: ConditionedSet, disturbance: noise.Noise) -> CropDataset:
    """What to fit on."""
    window = plan.spec
    if plan.published_augmentation is not None:
        return CropDataset(fit_set, plan, Published(plan.published_augmentation, window))
    assert plan.augmentation is not None, "a recipe has one of the two"
    return CropDataset(fit_set, plan, Augmenter(plan.augmentation, window, disturbance))


def _teachers(plan: recipes.Recipe, out: Path) -> list[nn.Module]:
    """The nets that the recipe learns from, as earlier runs wrote them."""
    wanted = plan.distillation.teachers if plan.distillation else []
    return [_earlier(name, "teacher", plan, out).net for name in wanted]


def _hashes(plan: recipes.Recipe, out: Path) -> dict[str, str]:
    """SHA-256 of the nets that the run learns or starts from, by name."""
    taught = plan.distillation
    names = [*(taught.teachers if taught else []), *filter(None, [plan.start])]
    return {name: hashlib.sha256((out / f"{name}.pt").read_bytes()).hexdigest() for name in names}


def _start(net: nn.Module, name: str, plan: recipes.Recipe, out: Path) -> None:
    """Take over the weights that an earlier run ended with."""
    earlier = _earlier(name, "start", plan, out)
    try:
        net.load_state_dict(earlier.net.state_dict())
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"start {name} has another net ({reason})", f"the [net] of {plan.name}") from None


def _earlier(name: str, role: str, plan: recipes.Recipe, out: Path) -> checkpoint.Checkpoint:
    """What an earlier run with the same output folder wrote, if it learned from the same records."""
    found = checkpoint.load(out / f"{name}.pt")
    of = found.recipe
    same = (of.preprocessing, of.window, of.inputs, of.data)  # or inner records of one had taught the other
    if same != (plan.preprocessing, plan.window, plan.inputs, plan.data):
        raise DataError(
            f"{role} {name} was trained on other windows or records",
            f"the [preprocessing], [window], [data] and [[inputs]] of {plan.name}",
        )
    return found


def training_sets(root: Path, plan: recipes.Recipe) -> tuple[ConditionedSet, ConditionedSet]:
    """The records to fit on and the inner validation records, all from the published training list."""
    names, _ = cinc2017.published_split(root)
    everything = load_cinc2017(root, names, plan)
    # By labels v2, whatever the recipe learns from: so all models leave the same records out.
    known = cinc2017.labels_by_record(root)
    labels = [known[name] for name in names]
    fit, inner = inner_split(names, labels, plan.data.inner_share, plan.data.inner_fold)
    return everything.subset(fit), everything.subset(inner)


def window_logits(net: nn.Module, windows: WindowDataset) -> tuple[Any, Any, Any]:
    """Logits (windows, classes), labels and record numbers of all windows, as numpy arrays."""
    parts = []
    with torch.no_grad():
        for inputs, label, record in DataLoader(windows, 128):
            parts.append((net(*inputs).numpy().astype(np.float64), label.numpy(), record.numpy()))
    logits, label, record = (np.concatenate(part) for part in zip(*parts, strict=True))
    return logits, label, record


def score(net: nn.Module, records: ConditionedSet, plan: recipes.Recipe) -> dict[str, Any]:
    """Figures over records, decided by the mean probability of their windows."""
    logits, _, record = window_logits(net, WindowDataset(records, plan))
    means = metrics.mean_by_record(metrics.softmax(logits), record, len(records.names))
    return metrics.summary(np.array(records.labels), means.argmax(axis=1), cinc2017.CLASSES)
