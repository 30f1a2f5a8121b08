"""The Lightning module that trains one step of a net that calls windows."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import lightning
import torch
from torch import Tensor, nn
from torchmetrics.functional.classification import binary_auroc, binary_average_precision

from ecgedge.errors import DataError

if TYPE_CHECKING:
    from ecgedge.training.apc.recipe import ApcRecipe


def log_odds(net: nn.Module, inputs: list[Tensor]) -> Tensor:
    """How much more a net is for the second class than for the first, shape (n,)."""
    out = net(*inputs)
    logits: Tensor = out[0] if isinstance(out, tuple) else out
    return logits[:, 1] - logits[:, 0]


class StepModule(lightning.LightningModule):
    """One step of the recipe.

    Parameters
    ----------
    net : as the step before left it
    number : of the step, from 0
    """

    def __init__(self, net: nn.Module, recipe: ApcRecipe, number: int) -> None:
        super().__init__()
        self.net: nn.Module = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.recipe, self.step = recipe, recipe.steps[number]
        net.train().requires_grad_(False)
        self.learning.requires_grad_(True)
        self._seen: list[tuple[Tensor, Tensor]] = []

    @property
    def learning(self) -> nn.Module:
        """The part whose weights change."""
        return self.net if self.step.trains == "all" else getattr(self.net, self.step.trains)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Hold the frozen part still: its norms, too."""
        self.net.eval()
        self.learning.train()

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        """Give the loss of one batch.

        Raises
        ------
        DataError
            If the loss is no finite number: everything after it would be lost.
        """
        batch = [x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x for x in batch]
        loss = self._attention(*batch) if self.step.trains == "weigher" else self._entropy(batch)
        if not torch.isfinite(loss):
            raise DataError(
                f"the loss became {loss.item()} in epoch {self.current_epoch + 1}",
                "a finite number",
                "Lower peak_rate in the recipe; the last whole epoch is kept.",
            )
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def _attention(self, signal: Tensor, wanted: Tensor) -> Tensor:
        """Cross-entropy with the manual attention, over samples where that is known."""
        known = ~wanted.isnan()
        logits: Tensor = self.net.weigher(signal)  # type: ignore[operator]
        return nn.functional.binary_cross_entropy_with_logits(logits[known], wanted[known])

    def _entropy(self, batch: list[Tensor]) -> Tensor:
        *inputs, label = batch
        smoothing = self.recipe.optimiser.label_smoothing
        wanted = label.float() * (1 - smoothing) + smoothing / 2
        return nn.functional.binary_cross_entropy_with_logits(log_odds(self.net, inputs), wanted)

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        """Remember what one batch of inner windows came to."""
        if self.step.trains == "weigher":
            self._seen.append((self._attention(*batch)[None], torch.zeros(1)))
            return
        *inputs, label = batch
        self._seen.append((log_odds(self.net, inputs).float().sigmoid(), label))

    def on_validation_epoch_end(self) -> None:
        """Score the inner windows."""
        told, label = (torch.cat(part) for part in zip(*self._seen, strict=True))
        self._seen.clear()
        if self.step.trains == "weigher":
            self.log("inner_loss", told.mean())
            return
        self.log("inner_ap", binary_average_precision(told, label))
        self.log("inner_auroc", binary_auroc(told, label))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the recipe beside the weights, so that no other recipe goes on from them."""
        checkpoint["recipe"] = dataclasses.asdict(self.recipe)

    def configure_optimizers(self) -> Any:
        """AdamW with a one-cycle schedule, of the part that learns; no decay on norms and biases."""
        part, decay = self.learning, self.recipe.optimiser.weight_decay
        groups = [
            {"params": [p for p in part.parameters() if p.ndim > 1], "weight_decay": decay},
            {"params": [p for p in part.parameters() if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimiser = torch.optim.AdamW(groups, lr=self.step.peak_rate)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, self.step.peak_rate, total_steps=steps, pct_start=0.25
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
