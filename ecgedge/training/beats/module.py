"""The Lightning modules of the three stages: single beats, masked beats, labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torchmetrics.functional.classification import multiclass_f1_score, multilabel_f1_score

from ecgedge.beat_figures import INTERVALS
from ecgedge.models.ecg_sl import BeatDecoder
from ecgedge.training.beats.augment import augment
from ecgedge.training.beats.data import NONE
from ecgedge.training.beats.recipe import SEVERAL
from ecgedge.training.learner import Learner

if TYPE_CHECKING:
    from ecgedge.models.ecg_sl import EcgSl
    from ecgedge.training.beats.recipe import BeatRecipe

Batch = list[Tensor]
"""Segments, deviations and intervals, each (batch, 1, beats, columns), and what is told of them."""
_THERE = INTERVALS.index("a beat is there")


class Reconstruction(Learner):
    """Stages 1 and 2: the decoder makes beats out of their embeddings, or out of what their neighbours tell.

    Parameters
    ----------
    decoder : as the stage before left it
    masked : whether some beats are hidden, and those are what counts
    """

    def __init__(self, net: EcgSl, decoder: BeatDecoder, recipe: BeatRecipe, *, masked: bool) -> None:
        super().__init__(net, recipe, recipe.pretraining.peak_rate)
        self.decoder, self.masked = decoder, masked
        self.hidden = nn.Parameter(0.1 * torch.randn(1, recipe.net.get("width", net.config.width), 1, 1))

    @property
    def learning(self) -> nn.Module:
        """All of it."""
        return self

    def loss_of(self, batch: Batch) -> Tensor:
        """Mean squared error over the beats that count, standard deviations of the template."""
        segments, deviations, intervals = augment(batch[:3], self.recipe.augmentation)
        counts = intervals[..., _THERE : _THERE + 1] > 0
        embeddings = self.net.embed(segments, deviations)
        if self.masked:
            hide = torch.rand(counts.shape) < self.recipe.pretraining.masked
            counts = counts & hide
            embeddings = torch.where(hide, self.hidden, embeddings)
            embeddings = self.net.relate(embeddings, intervals)
        error = (self.decoder(embeddings) - torch.cat((segments, deviations), dim=1)) ** 2
        out: Tensor = (error * counts).sum() / (counts.sum() * error[0, :, 0].numel()).clamp(min=1)
        return out


class BeatClassifier(Learner):
    """Stage 3: weighted cross-entropy over beats, or over windows where they have one class."""

    def __init__(self, net: EcgSl, recipe: BeatRecipe) -> None:
        o = recipe.optimiser
        super().__init__(net, recipe, o.peak_rate)
        weights = torch.tensor(o.class_weights, dtype=torch.float32)
        self.several = recipe.data.set in SEVERAL
        self._entropy: nn.Module = (
            nn.BCEWithLogitsLoss(pos_weight=weights)
            if self.several
            else nn.CrossEntropyLoss(weights, ignore_index=NONE, label_smoothing=o.label_smoothing)
        )
        self._seen: list[tuple[Tensor, Tensor]] = []

    def _logits(self, inputs: Batch) -> Tensor:
        """Of beats or windows, shape (n, classes)."""
        out: Tensor = self.net(*inputs[: len(self.net.inputs)])
        return out.reshape(-1, out.shape[-1])

    def loss_of(self, batch: Batch) -> Tensor:
        """Over what has a label."""
        *inputs, told = batch
        logits = self._logits(augment(inputs, self.recipe.augmentation))
        out: Tensor = self._entropy(logits, told.float() if self.several else told.reshape(-1).long())
        return out

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Remember one batch of inner windows."""
        *inputs, told = batch
        self._seen.append((self._logits(inputs).float(), told if self.several else told.reshape(-1).long()))

    def on_validation_epoch_end(self) -> None:
        """Mean F1 of the classes."""
        logits, told = (torch.cat(part) for part in zip(*self._seen, strict=True))
        self._seen.clear()
        n = logits.shape[1]
        if self.several:
            f1 = multilabel_f1_score(logits.sigmoid(), told, n, average="none")
        else:
            known = told != NONE
            f1 = multiclass_f1_score(logits[known].argmax(dim=1), told[known], n, average="none")
        self.log("inner_f1", f1.mean())
        for name, value in zip(self.recipe.classes, f1, strict=True):
            self.log(f"inner_{name}", value)
