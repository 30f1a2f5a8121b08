"""What the Lightning modules of all tasks share: a finite loss, a kept recipe, an optimiser, its schedule."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import lightning
import torch
from torch import Tensor, nn

from ecgedge.errors import DataError

if TYPE_CHECKING:
    from ecgedge.training.recipe import BaseRecipe


def fast(net: nn.Module) -> nn.Module:
    """Channels last halves the time of a step on a CPU."""
    moved: nn.Module = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved


class Learner(lightning.LightningModule, ABC):
    """A net that learns by a recipe.

    Parameters
    ----------
    net : where it starts from
    peak_rate : greatest learning rate of the schedule
    """

    def __init__(self, net: nn.Module, recipe: BaseRecipe, peak_rate: float) -> None:
        super().__init__()
        self.net: Any = fast(net)  # any net's parts may be spoken of
        self.recipe: Any = recipe  # each task has its own
        self.peak_rate = peak_rate

    @property
    def learning(self) -> nn.Module:
        """The part whose weights change."""
        net: nn.Module = self.net
        return net

    @abstractmethod
    def loss_of(self, batch: Any) -> Tensor:
        """Loss of a batch, a scalar."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Give the loss of one batch.

        Raises
        ------
        DataError
            If the loss is no finite number: everything after it would be lost.
        """
        loss = self.loss_of(batch)
        if not torch.isfinite(loss):
            raise DataError(
                f"the loss became {loss.item()} in epoch {self.current_epoch + 1}",
                "a finite number",
                "Lower peak_rate in the recipe; the last whole epoch is kept.",
            )
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the recipe beside the weights, so that no other recipe goes on from them."""
        checkpoint["recipe"] = dataclasses.asdict(self.recipe)

    def configure_optimizers(self) -> Any:
        """Optimiser and schedule; no decay on norms and biases."""
        every, decay = list(self.learning.parameters()), self.recipe.optimiser.weight_decay
        groups = [
            {"params": [p for p in every if p.ndim > 1], "weight_decay": decay},
            {"params": [p for p in every if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimiser = self.optimiser_of(groups)
        schedule = self.schedule_of(optimiser, int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def optimiser_of(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """AdamW."""
        return torch.optim.AdamW(groups, lr=self.peak_rate)

    def schedule_of(self, optimiser: torch.optim.Optimizer, steps: int) -> Any:
        """One cycle over the whole fit."""
        return torch.optim.lr_scheduler.OneCycleLR(
            optimiser, self.peak_rate, total_steps=steps, pct_start=0.25
        )
