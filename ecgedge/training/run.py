"""``ecgedge train``: recipe in, float checkpoint out.

A run keeps Lightning's own checkpoint after every epoch in its output folder and goes on from there when
the same command is given again.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
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
    EpochOrder,
    WindowDataset,
    inner_split,
    load_cinc2017,
    window_spec,
)
from ecgedge.training.module import WindowClassifier
from ecgedge.training.place import usable
from ecgedge.training.progress import Progress
from ecgedge.training.published import Published
from ecgedge.training.trainer import hushed, interruptible, make_trainer

FEWEST_STEPS = 5
"""The one-cycle schedule rises in the first quarter of the run and needs two steps for it."""


def train(
    recipe: str,
    root: str | Path | None = None,
    out: str | Path = "runs",
    threads: int | None = None,
    *,
    workers: int = 0,
    devices: str | int = "auto",
    precision: str = "32",
    seed: int | None = None,
    fold: str | None = None,
) -> Path:
    """Train a recipe and write ``OUT/NAME.pt``; returns its path.

    Parameters
    ----------
    recipe : name or path
    root : folder of the data sets; default: ECGEDGE_DATA
    threads : of torch on a CPU; default: torch's own choice
    workers : processes that make crops; the crops do not depend on it
    devices, precision : see ``trainer.make_trainer``; the recipe's batch is shared out over the devices
    seed : in place of the recipe's, see ``variants``
    fold : ``K/N``, which of N parts of the training list is left out, see ``variants``

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
    place = data_root(root)
    return fit(plan, place, Path(out), threads, workers=workers, devices=devices, precision=precision)


def fit(
    plan: recipes.Recipe,
    root: Path,
    out: Path,
    threads: int | None = None,
    *,
    workers: int = 0,
    devices: str | int = "auto",
    precision: str = "32",
    sets: tuple[ConditionedSet, ConditionedSet] | None = None,
) -> Path:
    """``train`` for a recipe in hand; ``sets`` are records to fit on and to score, in place of its own."""
    if threads:
        torch.set_num_threads(threads)
    lightning.seed_everything(plan.seed, verbose=False)
    module = WindowClassifier(plan, _teachers(plan, out))
    if plan.start is not None:
        _start(module.net, plan.start, plan, out)
    module.earlier = _hashes(plan, out)
    folder = usable(out / plan.name)
    last, epoch = kept(folder / "last.ckpt", plan.name, lambda table: _is_of(plan, table), module.earlier)
    progress = Progress(plan.optimiser.epochs)
    with hushed():
        o = plan.optimiser
        trainer = make_trainer(
            folder, progress, devices, precision, epochs=o.epochs, seed=plan.seed, ema_decay=o.ema_decay
        )
    batch, processes = plan.optimiser.batch, trainer.world_size
    if batch % processes:
        raise UsageError(f"a batch of {batch} on {processes} devices", "a batch that they can share")
    progress.say("reading and conditioning the records")
    crops, inner_set = _crops_and_inner(root, plan, sets)
    folder.mkdir(parents=True, exist_ok=True)
    order = EpochOrder(len(crops), plan.seed, epoch, trainer.global_rank, processes)
    batches = DataLoader(crops, batch // processes, sampler=order, drop_last=True, num_workers=workers)
    inner = DataLoader(WindowDataset(inner_set, plan), 128)
    with hushed(), interruptible():
        trainer.fit(module, batches, inner, ckpt_path=last, weights_only=False)
    path = out / f"{plan.name}.pt"
    if not trainer.is_global_zero:
        return path
    # The averaged weights. Lightning itself puts them into the module at the end of training only: not when
    # the kept run was already whole.
    module.load_state_dict(
        torch.load(folder / "last.ckpt", map_location="cpu", weights_only=False)["state_dict"]
    )
    progress.say("measuring the norms' statistics and scoring")
    net = module.net.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    torch.manual_seed(plan.seed)  # dropout
    after = EpochOrder(len(crops), plan.seed, plan.optimiser.epochs)
    settle_norms(net, DataLoader(crops, batch, sampler=after, drop_last=True, num_workers=workers))
    figures = score(net, inner_set, plan)
    checkpoint.save(path, net.state_dict(), plan, figures)
    progress.say(
        f"wrote {path}: inner macro F1 {figures['macro_f1']:.3f}, accuracy {figures['accuracy']:.3f}"
    )
    return path


def _crops_and_inner(
    root: Path, plan: recipes.Recipe, sets: tuple[ConditionedSet, ConditionedSet] | None
) -> tuple[CropDataset, ConditionedSet]:
    """What to fit on, and the inner validation records."""
    disturbance = noise.load(root, plan)
    fit_set, inner_set = sets or training_sets(root, plan)
    batch, epochs = plan.optimiser.batch, plan.optimiser.epochs
    steps = len(fit_set.names) // batch * epochs
    if steps < FEWEST_STEPS:
        found = f"{len(fit_set.names)} records to fit on, {batch} a batch: {steps} steps in all"
        raise DataError(found, f"{FEWEST_STEPS} or more", "Take smaller batches or more epochs.")
    window = window_spec(plan)
    if plan.published_augmentation is not None:
        return CropDataset(fit_set, plan, Published(plan.published_augmentation, window)), inner_set
    assert plan.augmentation is not None, "a recipe has one of the two"
    return CropDataset(fit_set, plan, Augmenter(plan.augmentation, window, disturbance)), inner_set


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


def kept(
    last: Path, name: str, is_own: Callable[[Any], bool], earlier: dict[str, str] | None = None
) -> tuple[str | None, int]:
    """The checkpoint of an earlier, unfinished run of this very recipe, and how many epochs it has seen.

    Parameters
    ----------
    last : where it would be
    name : of the recipe
    is_own : whether the recipe that a checkpoint holds is this one
    earlier : SHA-256 of the nets that the run learns or starts from, by name

    Raises
    ------
    DataError
        If there is a file of another recipe or of other earlier nets, or one that cannot be read.
    """
    if not last.exists():
        return None, 0
    advice = f"Delete {last}, or choose another --out."
    try:
        content = torch.load(last, map_location="cpu", weights_only=False)
    except (pickle.UnpicklingError, RuntimeError, ValueError, LookupError, EOFError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{last.name} cannot be read ({reason})", "a kept training run", advice) from None
    if not isinstance(content, dict) or not is_own(content.get("recipe")):
        raise DataError(f"{last} was kept by a run of another recipe", name, advice)
    now = earlier or {}
    before = content.get("earlier", now)  # runs of older versions do not tell
    if changed := [net for net in now if before.get(net) != now[net]]:
        found = f"{last} was kept by a run that learned from another {' and '.join(changed)}"
        raise DataError(found, "the nets that are there now", advice)
    return str(last), int(content["epoch"]) + 1


def _is_of(plan: recipes.Recipe, table: Any) -> bool:
    """Whether a kept recipe is this one; keys that came later may be missing in it."""
    try:
        return isinstance(table, dict) and recipes.from_table(table, "kept") == plan
    except DataError:
        return False


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
        for inputs, _ in batches:
            net(*inputs)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    net.eval()


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
