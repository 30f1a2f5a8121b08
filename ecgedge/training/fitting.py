"""A fit of any task: it can be broken off, and goes on after the last whole epoch when it is asked for again.

Lightning's own checkpoint is kept after every epoch, beside the recipe that it belongs to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ecgedge.errors import DataError, UsageError
from ecgedge.training.checkpoint import is_state, read_file
from ecgedge.training.data import EpochOrder
from ecgedge.training.place import made, usable
from ecgedge.training.progress import RECORDS, Progress
from ecgedge.training.recipe import FEWEST_STEPS
from ecgedge.training.trainer import Machine, hushed, interruptible, make_trainer

if TYPE_CHECKING:
    from ecgedge.training.learner import Learner
    from ecgedge.training.recipe import BaseRecipe

Read = Callable[[dict[str, Any], str], "BaseRecipe"]
"""Makes a recipe of a task of its tables and a word for where they are from."""
_KEPT = {
    "recipe",
    "epoch",
    "global_step",
    "state_dict",
    "optimizer_states",
    "lr_schedulers",
    "callbacks",
    "loops",
}
"""What Lightning writes, and the recipe."""


def begin(plan: BaseRecipe, out: Path, machine: Machine) -> Path:
    """Seed everything and set torch's threads; returns the run's own folder, which is not made yet.

    Raises
    ------
    UsageError
        If it cannot be made.
    """
    if machine.threads:
        torch.set_num_threads(machine.threads)
    lightning.seed_everything(plan.seed, verbose=False)
    return usable(out / plan.name)


class Fit:
    """One fit of a run: its trainer, and what an earlier, unfinished one kept.

    Parameters
    ----------
    folder : of checkpoint and logs
    plan : the recipe
    read : of its task
    machine : what it runs on; the recipe's batch is shared out over the devices
    epochs : of the whole fit
    words : see ``Progress``
    earlier : SHA-256 of the nets that the run learns or starts from, by name

    Raises
    ------
    DataError
        If the folder holds a run of another recipe or of other earlier nets, or one that cannot be read.
    UsageError
        For devices or a precision that this machine has not, or a batch that they cannot share.
    """

    def __init__(
        self,
        folder: Path,
        plan: BaseRecipe,
        read: Read,
        machine: Machine,
        epochs: int,
        words: Mapping[str, str] = RECORDS,
        earlier: dict[str, str] | None = None,
    ) -> None:
        self._folder, self._plan, self._epochs, self._workers = folder, plan, epochs, machine.workers
        self._kept, self._epoch = kept(folder / "last.ckpt", plan, read, earlier or {})
        self.progress = Progress(epochs, words)
        options = plan.optimiser
        with hushed():
            self._trainer = make_trainer(
                folder, self.progress, machine, epochs=epochs, seed=plan.seed, ema_decay=options.ema_decay
            )
        if options.batch % self._trainer.world_size:
            found = f"a batch of {options.batch} on {self._trainer.world_size} devices"
            raise UsageError(found, "a batch that they can share")

    @property
    def first(self) -> bool:
        """Whether this process is the only one, or the one of several that writes."""
        return bool(self._trainer.is_global_zero)

    def run(
        self, module: Learner, drawn: Any, inner: DataLoader[Any] | None, of: str = "windows", **loading: Any
    ) -> None:
        """Fit, or do what is left of it; the module has its averaged weights then, on the CPU.

        Parameters
        ----------
        drawn : data set to learn from, whose index is (epoch, number)
        inner : batches that are scored after each epoch
        of : what the data set holds, in a word
        loading : further options of the loader

        Raises
        ------
        DataError
            For fewer steps than the schedule needs, nothing to score, a kept run that is not of such a net,
            or a loss that is no number.
        KeyboardInterrupt
            On Ctrl-C or SIGTERM.
        """
        batch, trainer = self._plan.optimiser.batch, self._trainer
        if (steps := len(drawn) // batch * self._epochs) < FEWEST_STEPS:
            found = f"{len(drawn)} {of} to fit on, {batch} a batch: {steps} steps in all"
            raise DataError(found, f"{FEWEST_STEPS} or more", "Take smaller batches or more epochs.")
        if inner is not None and not len(inner):
            raise DataError("no windows of inner records", "one or more to choose by", "Keep other records.")
        made(self._folder)
        if self._kept is not None:
            _take_over(module, Path(self._kept))
        batches = self._batches(drawn, self._epoch, trainer.global_rank, trainer.world_size, **loading)
        with hushed(), interruptible():
            trainer.fit(module, batches, inner, ckpt_path=self._kept, weights_only=True)
        # Lightning puts the averaged weights into the module at the end of training only: not when the kept
        # run was already whole.
        last = read_file(self._folder / "last.ckpt", "a kept training run")
        module.load_state_dict(last["state_dict"])
        module.cpu()
        module.net.to(memory_format=torch.contiguous_format)

    def after(self, drawn: Any) -> DataLoader[Any]:
        """The batches of the epoch after the last one, for ``settle_norms``."""
        return self._batches(drawn, self._epochs)

    def _batches(
        self, drawn: Any, epoch: int, process: int = 0, processes: int = 1, **loading: Any
    ) -> DataLoader[Any]:
        order = EpochOrder(len(drawn), self._plan.seed, epoch, process, processes)
        share = self._plan.optimiser.batch // processes
        return DataLoader(drawn, share, sampler=order, drop_last=True, num_workers=self._workers, **loading)


def kept(last: Path, plan: BaseRecipe, read: Read, earlier: dict[str, str]) -> tuple[str | None, int]:
    """The checkpoint of an earlier, unfinished run of this very recipe, and how many epochs it has seen.

    Parameters
    ----------
    last : where it would be
    earlier : SHA-256 of the nets that the run learns or starts from, by name

    Raises
    ------
    DataError
        If there is a file of another recipe or of other earlier nets, or one that cannot be read.
    """
    advice = f"Delete {last}, or choose another --out."
    content = read_file(last, "a kept training run", advice)
    if content is None:
        return None, 0
    if not (
        isinstance(content, dict)
        and set(content) >= _KEPT
        and isinstance(content["epoch"], int)
        and is_state(content["state_dict"])
    ):
        raise DataError(f"{last} is another kind of file", "a kept training run", advice)
    if not _is_of(plan, read, content["recipe"]):
        raise DataError(f"{last} was kept by a run of another recipe", plan.name, advice)
    before = content.get("earlier", earlier)  # runs of older versions do not tell
    if not isinstance(before, dict):
        raise DataError(f"{last} tells no earlier nets", "their names and hashes", advice)
    if changed := [net for net in earlier if before.get(net) != earlier[net]]:
        found = f"{last} was kept by a run that learned from another {' and '.join(changed)}"
        raise DataError(found, "the nets that are there now", advice)
    return str(last), content["epoch"] + 1


def _take_over(module: Learner, last: Path) -> None:
    """Give a module the weights of a kept run: Lightning would end with a traceback where they do not fit."""
    try:
        module.load_state_dict(read_file(last, "a kept training run")["state_dict"])
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:120]
        raise DataError(
            f"{last} does not fit the net ({reason})", "a run of this version", f"Delete {last}."
        ) from None


def _is_of(plan: BaseRecipe, read: Read, table: Any) -> bool:
    """Whether a kept recipe is this one; keys that came later may be missing in it."""
    try:
        return isinstance(table, dict) and read(table, "kept") == plan
    except DataError:
        return False


def settle_norms(
    net: nn.Module, batches: Iterable[Sequence[Tensor]], seed: int, part: nn.Module | None = None
) -> None:
    """Measure the batch norms' statistics anew, over one epoch: those of averaged weights are not the
    average of the statistics (Izmailov et al., UAI 2018).

    Parameters
    ----------
    batches : of inputs
    seed : of dropout
    part : of the net, where only its weights changed
    """
    torch.manual_seed(seed)
    part = part or net
    norms = [m for m in part.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [m.momentum for m in norms]
    net.eval()
    part.train()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # cumulative average
    with torch.no_grad():
        for inputs in batches:
            net(*inputs)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    net.eval()
