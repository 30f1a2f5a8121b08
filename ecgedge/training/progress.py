"""What a training run tells a terminal: one line an epoch, kept up to date within it. Piped: nothing."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from lightning.pytorch.callbacks import Callback

REFRESH_S = 0.5
BAR = 24
RECORDS = {"inner_f1": "inner macro F1", "inner_accuracy": "accuracy"}
_CLEAR = "\r\x1b[K"


class Progress(Callback):
    """Lines on standard error, if that is a terminal, of the first process if there are several.

    Parameters
    ----------
    epochs : of the whole run
    words : what the figures of an epoch are called, by the names under which the module logs them
    """

    def __init__(self, epochs: int, words: Mapping[str, str] = RECORDS) -> None:
        self._epochs, self._words = epochs, words
        self._shown = sys.stderr.isatty() and os.environ.get("LOCAL_RANK", "0") == "0"
        self._began = self._refreshed = 0.0
        self._start: tuple[int, float] | None = None  # step and moment at which this process began

    def say(self, text: str, end: str = "\n") -> None:
        """Write over the current line."""
        if self._shown:
            print(f"{_CLEAR}{text}", end=end, file=sys.stderr, flush=True)

    def _epoch(self, trainer: Any) -> str:
        return f"epoch {trainer.current_epoch + 1:{len(str(self._epochs))}}/{self._epochs}"

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Start the epoch's watch."""
        self._began = time.monotonic()
        self._start = self._start or (trainer.global_step, self._began)

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Show how far the epoch is, now and then."""
        now = time.monotonic()
        if now - self._refreshed >= REFRESH_S:
            self._refreshed = now
            done, batches = batch_idx + 1, trainer.num_training_batches
            bar = ("#" * round(BAR * done / batches)).ljust(BAR, ".")
            self.say(f"{self._epoch(trainer)}  [{bar}] {done}/{batches}  {self._left(trainer, now)}", end="")

    def _left(self, trainer: Any, now: float) -> str:
        """How long the rest of the run takes at the pace so far, scoring included."""
        step, moment = self._start or (0, now)
        steps = trainer.global_step - step
        if steps < 1:
            return ""
        seconds = (now - moment) / steps * (trainer.estimated_stepping_batches - trainer.global_step)
        return f"{timedelta(seconds=round(seconds))} left"

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Show the epoch's figures: those of the averaged weights, on the inner validation records."""
        figures = trainer.callback_metrics
        self.say(
            f"{self._epoch(trainer)}  loss {figures['train_loss']:.3f}  "
            + "".join(f"{word} {figures[name]:.3f}  " for name, word in self._words.items())
            + f"{time.monotonic() - self._began:.0f} s"
        )

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Leave a clean line for the message that follows."""
        self.say("", end="")
