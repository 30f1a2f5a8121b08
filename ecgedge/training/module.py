"""The Lightning module that trains a classifier of windows and watches its records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_f1_score

from ecgedge.errors import DataError
from ecgedge.models import build
from ecgedge.training.learner import Learner, fast
from ecgedge.training.rounding import Int8

if TYPE_CHECKING:
    from ecgedge.training.recipe import OptimiserOptions, Recipe


class Loss(nn.Module):
    """The recipe's cross-entropy."""

    def __init__(self, options: OptimiserOptions) -> None:
        super().__init__()
        self._published = options.loss == "published"
        self._entropy = nn.CrossEntropyLoss(
            torch.tensor(options.class_weights, dtype=torch.float32),
            label_smoothing=options.label_smoothing,
            reduction="sum" if self._published else "mean",
        )

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Give the loss of a batch, a scalar."""
        loss: Tensor = self._entropy(logits, label)
        return loss / logits.numel() if self._published else loss


class WindowClassifier(Learner):
    """Cross-entropy over windows; validation over records (mean probability of a record's windows).

    Parameters
    ----------
    recipe : of the net
    teachers : nets to learn from
    """

    def __init__(self, recipe: Recipe, teachers: list[nn.Module] | None = None) -> None:
        super().__init__(build(recipe.architecture, recipe.net), recipe, recipe.optimiser.peak_rate)
        self.earlier: dict[str, str] = {}
        """SHA-256 of the nets that the run learns or starts from, by name."""
        self.calibration: list[list[Tensor]] = []
        """Batches of inputs that tell the ranges of int8, where the recipe rounds."""
        # A plain list hides them from Lightning: they are neither trained nor averaged nor kept.
        self._teachers = [fast(net).eval().requires_grad_(False) for net in teachers or []]
        given = tuple(entry["name"] for entry in recipe.inputs)
        if given != self.net.inputs:
            raise DataError(f"recipe {recipe.name}: inputs {given}", f"those of the net, {self.net.inputs}")
        self.loss = Loss(recipe.optimiser)
        self._int8 = Int8() if recipe.rounded else None
        self._seen: list[tuple[Tensor, Tensor, Tensor]] = []

    def forward(self, inputs: list[Tensor]) -> Tensor:
        """Logits; rounded on the way as in int8, where the recipe says so."""
        logits: Tensor = self._int8(self.net, inputs) if self._int8 else self.net(*inputs)
        return logits

    def on_train_epoch_start(self) -> None:
        """Measure the ranges of the weights that are there now."""
        if self._int8:
            self._int8.measure(self.net, ([x.to(self.device) for x in batch] for batch in self.calibration))

    def on_validation_epoch_start(self) -> None:
        """The same of the averaged weights, which Lightning validates."""
        self.on_train_epoch_start()

    def on_fit_start(self) -> None:
        """Bring the teachers to where the net is, for Lightning does not."""
        for net in self._teachers:
            net.to(self.device)

    def loss_of(self, batch: tuple[list[Tensor], Tensor]) -> Tensor:
        """Of crops."""
        inputs, label = batch
        inputs = [x.contiguous(memory_format=torch.channels_last) for x in inputs]
        logits = self(inputs)
        loss: Tensor = self.loss(logits, label)
        if (d := self.recipe.distillation) is not None:
            loss = (1 - d.share) * loss + d.share * self._distance(inputs, logits, d.temperature)
        if (also := getattr(self.net, "auxiliary_loss", None)) is not None:
            loss = loss + also(*inputs)
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
        self._seen.append((self(inputs).float().softmax(dim=1), label, record))

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
        self.log_dict({"inner_f1": f1, "inner_accuracy": accuracy})

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the earlier nets as well, so that no run with other ones goes on from the weights."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["earlier"] = self.earlier

    def optimiser_of(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """AdamW or RAdam."""
        if self.recipe.optimiser.kind != "radam":
            return super().optimiser_of(groups)
        return torch.optim.RAdam(groups, lr=self.peak_rate, decoupled_weight_decay=True)

    def schedule_of(self, optimiser: torch.optim.Optimizer, steps: int) -> Any:
        """One cycle, or a tenth after each quarter."""
        if self.recipe.optimiser.schedule != "steps":
            return super().schedule_of(optimiser, steps)
        return torch.optim.lr_scheduler.MultiStepLR(optimiser, [steps * k // 4 for k in (1, 2, 3)])
