"""The Lightning module that trains one step of a net that calls windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torchmetrics.functional.classification import binary_auroc, binary_average_precision

from ecgedge.training.learner import Learner

if TYPE_CHECKING:
    from ecgedge.training.apc.recipe import ApcRecipe


def log_odds(net: nn.Module, inputs: list[Tensor]) -> Tensor:
    """How much more a net is for the second class than for the first, shape (n,)."""
    out = net(*inputs)
    logits: Tensor = out[0] if isinstance(out, tuple) else out
    return logits[:, 1] - logits[:, 0]


class StepModule(Learner):
    """One step of the recipe.

    Parameters
    ----------
    net : as the step before left it
    number : of the step, from 0
    """

    def __init__(self, net: nn.Module, recipe: ApcRecipe, number: int) -> None:
        super().__init__(net, recipe, recipe.steps[number].peak_rate)
        self.step = recipe.steps[number]
        net.train().requires_grad_(False)
        self.learning.requires_grad_(True)
        self._seen: list[tuple[Tensor, Tensor]] = []

    @property
    def learning(self) -> nn.Module:
        """The part whose weights change."""
        part: nn.Module = self.net if self.step.trains == "all" else getattr(self.net, self.step.trains)
        return part

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Hold the frozen part still: its norms, too."""
        self.net.eval()
        self.learning.train()

    def loss_of(self, batch: list[Tensor]) -> Tensor:
        """Of windows with their attention, or with their labels."""
        batch = [x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x for x in batch]
        return self._attention(*batch) if self.step.trains == "weigher" else self._entropy(batch)

    def _attention(self, signal: Tensor, wanted: Tensor) -> Tensor:
        """Cross-entropy with the manual attention, over samples where that is known."""
        known = ~wanted.isnan()
        logits: Tensor = self.net.weigher(signal)
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
