"""Lightning's trainer as every run wants it: quiet, interruptible, never without a whole checkpoint."""

from __future__ import annotations

import logging
import signal
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import lightning
import numpy as np
import tensorboard.compat  # type: ignore[import-untyped]
import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from ecgedge.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ecgedge.training.progress import Progress

# TensorBoard keeps to its own small file layer where it finds this name, in place of importing the whole of
# TensorFlow where that is installed: seconds, and greetings on the terminal.
tensorboard.compat.notf = True

PRECISIONS: dict[str, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "32": "32-true",
    "bf16": "bf16-mixed",
    "16": "16-mixed",
}
"""Arithmetic of a run; all but the first mix it with 32 bits."""


@dataclass(frozen=True)
class Machine:
    """What a run is given to run on."""

    threads: int | None = None
    """Of torch on a CPU; None: torch's own choice."""
    workers: int = 0
    """Processes that make what is learned from, which does not depend on them."""
    devices: str | int = "auto"
    """How many graphics cards, or processes where there are none; ``auto``: all cards, or one process."""
    precision: str = "32"
    """A key of ``PRECISIONS``."""


class InOneStep(TorchCheckpointIO):
    """Writes a checkpoint beside the last one and then puts it in its place.

    Lightning's own way moves a temporary file, which is a copy where that lies on another disk: a kill in
    the middle would leave neither.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write ``path``."""
        partial = Path(path).with_suffix(".partial")
        torch.save(checkpoint, partial)
        partial.replace(path)


class StepSeeds(Callback):
    """Seeds torch before each step by seed, step and process.

    Dropout is then the same after a resumption, which keeps no state of generators.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Seed the step to come."""
        at = np.random.SeedSequence((self._seed, trainer.global_step, trainer.global_rank))
        torch.manual_seed(int(at.generate_state(1, np.uint64)[0]))


def make_trainer(
    folder: Path, progress: Progress, machine: Machine, *, epochs: int, seed: int, ema_decay: float
) -> lightning.Trainer:
    """A trainer that keeps ``last.ckpt`` of every whole epoch, and its logs, in ``folder``.

    Parameters
    ----------
    epochs, seed, ema_decay : of the recipe

    Raises
    ------
    UsageError
        If this machine cannot do that.
    """
    devices, precision = machine.devices, machine.precision
    if precision not in PRECISIONS:
        raise UsageError(f"precision {precision!r}", f"one of {', '.join(PRECISIONS)}")
    try:
        return lightning.Trainer(
            max_epochs=epochs,
            accelerator="auto",
            devices=devices,
            precision=PRECISIONS[precision],
            # Norms over the whole batch, wherever its parts are, as on one card; CPUs have no such layer.
            sync_batchnorm=torch.cuda.is_available(),
            use_distributed_sampler=False,  # EpochOrder shares the records out itself
            gradient_clip_val=5.0,
            plugins=[InOneStep()],
            callbacks=[
                StepSeeds(seed),
                EMAWeightAveraging(decay=ema_decay),
                ModelCheckpoint(
                    folder,
                    filename="last",
                    save_top_k=1,
                    save_on_train_epoch_end=True,
                    enable_version_counter=False,
                ),
                progress,
            ],
            logger=[CSVLogger(folder, name="log"), TensorBoardLogger(folder, name="tensorboard", version="")],
            log_every_n_steps=1,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    except (MisconfigurationException, ValueError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].strip()
        raise UsageError(f"devices {devices}, precision {precision} ({reason})", "what is here") from None


@contextmanager
def hushed() -> Iterator[None]:
    """Without Lightning's greetings, and without its advice that does not hold here."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            # Crops are cheap beside a step of the nets here on a CPU; --workers is there for graphics cards.
            warnings.filterwarnings("ignore", message=".*does not have many workers")
            # Calls of Lightning's that newer versions of torch would have otherwise.
            warnings.filterwarnings("ignore", category=FutureWarning, module=r"lightning\.")
            # The run's own folder, gone on with on purpose.
            warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
            # Every process scores all inner records, so there is nothing to join.
            warnings.filterwarnings("ignore", message=".*sync_dist=True")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def interruptible() -> Iterator[None]:
    """Lightning turns Ctrl-C into exit code 1 and SIGTERM into 0, and goes deaf to further ones."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit:
        raise KeyboardInterrupt from None
    finally:
        if signal.getsignal(signal.SIGINT) is not before:
            signal.signal(signal.SIGINT, before)
