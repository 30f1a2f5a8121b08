"""The Lightning module that trains a classifier of windows and watches its records."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import lightning
import torch
from torch import Tensor, nn
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_f1_score

from ecgedge.errors import DataError
from ecgedge.models import build

if TYPE_CHECKING:
    from ecgedge.training.recipe import Recipe


class WindowClassifier(lightning.LightningModule):
    """Cross-entropy over windows; validation over records (mean probability of a record's windows)."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe
        # Channels last halves the time of a step on a CPU.
        self.net = build(recipe.architecture, recipe.net).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        o = recipe.optimiser
        self.loss = nn.CrossEntropyLoss(torch.tensor(o.class_weights), label_smoothing=o.label_smoothing)
        self._seen: list[tuple[Tensor, Tensor, Tensor]] = []

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Give the loss of one batch of crops.

        Raises
        ------
        DataError
            If the loss is no finite number: everything after it would be lost.
        """
        x, label = batch
        loss: Tensor = self.loss(self.net(x.contiguous(memory_format=torch.channels_last)), label)
        if not torch.isfinite(loss):
            raise DataError(
                f"the loss became {loss.item()} in epoch {self.current_epoch + 1}",
                "a finite number",
                "Lower peak_rate in the recipe; the last whole epoch is kept.",
            )
        self.log("train_loss", loss, on_step=False, on_epoch=True, prog_bar=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> None:
        """Remember the probabilities of one batch of windows."""
        x, label, record = batch
        self._seen.append((self.net(x).softmax(dim=1), label, record))

    def on_validation_epoch_end(self) -> None:
        """Score whole records."""
        probability, label, record = (torch.cat(part) for part in zip(*self._seen, strict=True))
        self._seen.clear()
        n, classes = int(record.max()) + 1, probability.shape[1]
        mean = torch.zeros(n, classes, device=probability.device).index_add_(0, record, probability)
        reference = torch.zeros(n, dtype=torch.long, device=label.device)
        reference[record] = label
        decided = mean.argmax(dim=1)
        f1 = multiclass_f1_score(decided, reference, classes, average="macro")
        accuracy = multiclass_accuracy(decided, reference, classes, average="micro")
        self.log_dict({"inner_f1": f1, "inner_accuracy": accuracy}, prog_bar=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the recipe beside the weights, so that no other recipe goes on from them."""
        checkpoint["recipe"] = dataclasses.asdict(self.recipe)

    def configure_optimizers(self) -> Any:
        """AdamW, no decay on norms and biases, one cycle over the whole run."""
        o = self.recipe.optimiser
        decayed = [p for p in self.net.parameters() if p.ndim > 1]
        plain = [p for p in self.net.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": o.weight_decay}, {"params": plain, "weight_decay": 0.0}]
        optimiser = torch.optim.AdamW(groups, lr=o.peak_rate)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, o.peak_rate, total_steps=steps, pct_start=0.25
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
