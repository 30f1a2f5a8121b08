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
    from ecgedge.training.recipe import OptimiserOptions, Recipe


def _fast(net: nn.Module) -> nn.Module:
    """Channels last halves the time of a step on a CPU."""
    moved: nn.Module = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved


class Loss(nn.Module):
    """The recipe's cross-entropy."""

    def __init__(self, options: OptimiserOptions) -> None:
        super().__init__()
        self._published = options.loss == "published"
        self._entropy = nn.CrossEntropyLoss(
            torch.tensor(options.class_weights),
            label_smoothing=options.label_smoothing,
            reduction="sum" if self._published else "mean",
        )

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Give the loss of a batch, a scalar."""
        loss: Tensor = self._entropy(logits, label)
        return loss / logits.numel() if self._published else loss


class WindowClassifier(lightning.LightningModule):
    """Cross-entropy over windows; validation over records (mean probability of a record's windows).

    Parameters
    ----------
    recipe : of the net
    teachers : nets to learn from
    """

    def __init__(self, recipe: Recipe, teachers: list[nn.Module] | None = None) -> None:
        super().__init__()
        self.recipe = recipe
        self.earlier: dict[str, str] = {}
        """SHA-256 of the nets that the run learns or starts from, by name."""
        # A plain list hides them from Lightning: they are neither trained nor averaged nor kept.
        self._teachers = [_fast(net).eval().requires_grad_(False) for net in teachers or []]
        self.net = _fast(build(recipe.architecture, recipe.net))
        given = tuple(entry["name"] for entry in recipe.inputs)
        if given != self.net.inputs:
            raise DataError(f"recipe {recipe.name}: inputs {given}", f"those of the net, {self.net.inputs}")
        self.loss = Loss(recipe.optimiser)
        self._seen: list[tuple[Tensor, Tensor, Tensor]] = []

    def on_fit_start(self) -> None:
        """Bring the teachers to where the net is, for Lightning does not."""
        for net in self._teachers:
            net.to(self.device)

    def training_step(self, batch: tuple[list[Tensor], Tensor], batch_idx: int) -> Tensor:
        """Give the loss of one batch of crops.

        Raises
        ------
        DataError
            If the loss is no finite number: everything after it would be lost.
        """
        inputs, label = batch
        inputs = [x.contiguous(memory_format=torch.channels_last) for x in inputs]
        logits = self.net(*inputs)
        loss: Tensor = self.loss(logits, label)
        if (d := self.recipe.distillation) is not None:
            loss = (1 - d.share) * loss + d.share * self._distance(inputs, logits, d.temperature)
        if (also := getattr(self.net, "auxiliary_loss", None)) is not None:
            loss = loss + also(*inputs)
        if not torch.isfinite(loss):
            raise DataError(
                f"the loss became {loss.item()} in epoch {self.current_epoch + 1}",
                "a finite number",
                "Lower peak_rate in the recipe; the last whole epoch is kept.",
            )
        self.log("train_loss", loss, on_step=False, on_epoch=True, prog_bar=True)
        return loss

    def _distance(self, inputs: list[Tensor], logits: Tensor, temperature: float) -> Tensor:
        """Kullback-Leibler divergence from the teachers' mean, scaled as its gradients shrink: by T^2."""
        with torch.no_grad():
            each = [(net(*inputs) / temperature).softmax(dim=1) for net in self._teachers]
            told = torch.stack(each).mean(dim=0)
        own = (logits / temperature).log_softmax(dim=1)
        return temperature**2 * nn.functional.kl_div(own, told, reduction="batchmean")

    def validation_step(self, batch: tuple[list[Tensor], Tensor, Tensor], batch_idx: int) -> None:
        """Remember the probabilities of one batch of windows."""
        inputs, label, record = batch
        self._seen.append((self.net(*inputs).float().softmax(dim=1), label, record))

    def on_validation_epoch_end(self) -> None:
        """Score whole records."""
        probability, label, record = (torch.cat(part) for part in zip(*self._seen, strict=True))
        self._seen.clear()
        # Some records may be too short for any window.
        there, place = record.unique(return_inverse=True)  # type: ignore[no-untyped-call]
        n, classes = len(there), probability.shape[1]
        mean = torch.zeros(n, classes, device=probability.device).index_add_(0, place, probability)
        reference = torch.zeros(n, dtype=torch.long, device=label.device)
        reference[place] = label
        decided = mean.argmax(dim=1)
        f1 = multiclass_f1_score(decided, reference, classes, average="macro")
        accuracy = multiclass_accuracy(decided, reference, classes, average="micro")
        self.log_dict({"inner_f1": f1, "inner_accuracy": accuracy}, prog_bar=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep recipe and earlier nets beside the weights, so that no other run goes on from them."""
        checkpoint["recipe"] = dataclasses.asdict(self.recipe)
        checkpoint["earlier"] = self.earlier

    def configure_optimizers(self) -> Any:
        """Optimiser and schedule of the recipe; no decay on norms and biases."""
        o = self.recipe.optimiser
        decayed = [p for p in self.net.parameters() if p.ndim > 1]
        plain = [p for p in self.net.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": o.weight_decay}, {"params": plain, "weight_decay": 0.0}]
        if o.kind == "radam":
            optimiser: torch.optim.Optimizer = torch.optim.RAdam(
                groups, lr=o.peak_rate, decoupled_weight_decay=True
            )
        else:
            optimiser = torch.optim.AdamW(groups, lr=o.peak_rate)
        steps = int(self.trainer.estimated_stepping_batches)
        if o.schedule == "steps":
            quarters = [steps * k // 4 for k in (1, 2, 3)]
            schedule: Any = torch.optim.lr_scheduler.MultiStepLR(optimiser, quarters)
        else:
            schedule = torch.optim.lr_scheduler.OneCycleLR(
                optimiser, o.peak_rate, total_steps=steps, pct_start=0.25
            )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
