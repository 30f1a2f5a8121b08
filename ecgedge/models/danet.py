"""DANet: a window of one lead, each sample weighted by a learned attention, then a plain CNN.

After Jin, *DANet* (diagnosis based on attention over waveforms), arXiv 2407.18033 (2024). Only the abstract
and summaries of that work are known to us: an 8-layer dilated CNN that gives one weight a sample, a weighted
signal, a 9-layer CNN. Widths, kernels and dilations are our own choice, and no published figure is claimed to
be reproduced.

Three nets share the classifier: ``Danet`` learns its weights (soft), ``HardDanet`` is given them from
delineated waves (the paper's DANet-h), ``PlainCnn`` does without (its baseline).

Written for int8: convolutions are two-dimensional with height 1, pooling is MAX_POOL_2D and MEAN, and the
graph ends at logits and weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

DILATIONS = (1, 2, 4, 8, 16, 32, 64)
"""Of the weigher's layers but the last, which has a kernel of one sample."""


@dataclass(frozen=True)
class DanetConfig:
    """Size of the nets; ``channels`` has one entry for each convolution of the classifier."""

    length: int = 1500
    """Samples of the input window."""
    classes: int = 2
    weigher: int = 16
    """Channels of the weigher's layers; the nets without one leave it unused."""
    weigher_kernel: int = 5
    channels: tuple[int, ...] = (16, 16, 32, 32, 64, 64, 96, 96)
    kernel: int = 7
    dropout: float = 0.3

    def __post_init__(self) -> None:
        if self.length >> len(self.channels) < 1:
            raise ValueError(f"{self.length} samples cannot be halved {len(self.channels)} times")


def _layer(inside: int, outside: int, kernel: int, dilation: int = 1) -> list[nn.Module]:
    padding = (0, dilation * (kernel // 2))
    conv = nn.Conv2d(inside, outside, (1, kernel), padding=padding, dilation=(1, dilation), bias=False)
    return [conv, nn.BatchNorm2d(outside), nn.ReLU()]


class Weigher(nn.Module):
    """Eight dilated layers: one weight a sample, as a logit.

    It sees 1 + 254 * (kernel - 1) / 2 samples: with a kernel of 5, 509 of them, or 3.4 s at 150 Hz.
    """

    def __init__(self, config: DanetConfig) -> None:
        super().__init__()
        widths = (1, *(config.weigher for _ in DILATIONS))
        layers = [
            module
            for (inside, outside), dilation in zip(pairwise(widths), DILATIONS, strict=True)
            for module in _layer(inside, outside, config.weigher_kernel, dilation)
        ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(config.weigher, 1, 1))

    def forward(self, signal: Tensor) -> Tensor:
        """Map (batch, 1, 1, time) to logits of the same shape; their sigmoid is the weight."""
        logits: Tensor = self.layers(signal)
        return logits


class WaveClassifier(nn.Module):
    """Eight convolutions, each followed by pooling, and one dense layer."""

    def __init__(self, config: DanetConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inside, outside in pairwise((1, *config.channels)):
            layers += [*_layer(inside, outside, config.kernel), nn.MaxPool2d((1, 2))]
        self.layers = nn.Sequential(*layers)
        self.dropout = nn.Dropout(config.dropout)
        self.dense = nn.Linear(2 * config.channels[-1], config.classes)

    def forward(self, signal: Tensor) -> Tensor:
        """Map (batch, 1, 1, time) to logits, shape (batch, classes)."""
        waves = self.layers(signal)
        # The maximum as well: one beat among a dozen decides.
        pooled = torch.cat((waves.mean(dim=(2, 3)), waves.amax(dim=(2, 3))), dim=1)
        logits: Tensor = self.dense(self.dropout(pooled))
        return logits


class Danet(nn.Module):
    """Signal -> logits and attention.

    Input (batch, 1, 1, length), float32, normalised by the frontend; outputs (batch, classes) and
    (batch, length), weights from 0 to 1.
    """

    inputs = ("signal",)
    outputs = ("logits", "attention")

    def __init__(self, config: DanetConfig | None = None) -> None:
        super().__init__()
        self.config = config or DanetConfig()
        self.weigher = Weigher(self.config)
        self.classifier = WaveClassifier(self.config)

    def forward(self, signal: Tensor) -> tuple[Tensor, Tensor]:
        """Give logits and weights."""
        weights = self.weigher(signal).sigmoid()
        return self.classifier(weights * signal), weights.flatten(1)


class HardDanet(nn.Module):
    """Signal and weights from delineated waves, both (batch, 1, 1, length) -> logits; workbench only."""

    inputs = ("signal", "weights")
    outputs = ("logits",)

    def __init__(self, config: DanetConfig | None = None) -> None:
        super().__init__()
        self.config = config or DanetConfig()
        self.classifier = WaveClassifier(self.config)

    def forward(self, signal: Tensor, weights: Tensor) -> Tensor:
        """Give the logits, shape (batch, classes)."""
        logits: Tensor = self.classifier(weights * signal)
        return logits


class PlainCnn(nn.Module):
    """Signal (batch, 1, 1, length) -> logits: the classifier alone, the baseline."""

    inputs = ("signal",)
    outputs = ("logits",)

    def __init__(self, config: DanetConfig | None = None) -> None:
        super().__init__()
        self.config = config or DanetConfig()
        self.classifier = WaveClassifier(self.config)

    def forward(self, signal: Tensor) -> Tensor:
        """Give the logits, shape (batch, classes)."""
        logits: Tensor = self.classifier(signal)
        return logits


NETS: dict[str, type[Danet] | type[HardDanet] | type[PlainCnn]] = {
    "danet": Danet,
    "danet-h": HardDanet,
    "danet-cnn": PlainCnn,
}
"""By architecture."""
