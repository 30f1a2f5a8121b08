"""EfficientECG's signal backbone: a 1-D EfficientNet of MBConv blocks with squeeze-and-excitation.

After Deng, Li, Luo and Wu, *EfficientECG*, arXiv 2512.03804 (2025). Only the abstract and the outline of
that work are known to us: widths, depths and kernels are our own choice, and no published figure is
claimed to be reproduced. Blocks follow Tan and Le, *EfficientNet*, ICML 2019.

Written for int8: every convolution is two-dimensional with height 1, kernels (1, k) and equal strides, so
that depthwise layers stay depthwise after conversion; SiLU everywhere (also in the squeeze, where ReLU6
can leave a tensor dead on the calibration set); the graph ends at the logits.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.overrides import wrap_torch_function


@dataclass(frozen=True)
class EfficientEcgConfig:
    """Size of the net; ``channels``, ``repeats`` and ``kernels`` have one entry a stage."""

    length: int = 3000
    """Samples of the input window."""
    classes: int = 4
    stem: int = 16
    stem_kernel: int = 15
    channels: tuple[int, ...] = (16, 24, 40, 60, 80)
    repeats: tuple[int, ...] = (1, 2, 3, 2, 2)
    kernels: tuple[int, ...] = (7, 7, 9, 9, 9)
    expansion: int = 4
    head: int = 160
    dropout: float = 0.3
    drop_path: float = 0.1


def _conv(inside: int, outside: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(
        inside, outside, (1, kernel), (stride, stride), (0, kernel // 2), groups=groups, bias=False
    )


class SqueezeExcite(nn.Module):
    """Channel gate from the mean over time (Hu et al., CVPR 2018)."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.expand = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Gate ``x`` of shape (batch, channels, 1, time)."""
        gate = nn.functional.silu(self.reduce(x.mean(dim=3, keepdim=True)))
        gated: Tensor = x * torch.sigmoid(self.expand(gate))
        return gated


@wrap_torch_function(lambda y, share: (y,))
def leave_out(y: Tensor, share: float) -> Tensor:
    """Stochastic depth (Huang et al., ECCV 2016): a share of the residual branches left out at random.

    Who meets torch's functions on their way (``training.rounding``) meets this as one, not its parts.
    """
    keep = torch.rand(y.shape[0], 1, 1, 1, device=y.device) >= share
    return y * keep.to(y.dtype) / (1.0 - share)


class MBConv(nn.Module):
    """Inverted bottleneck: expand, depthwise, squeeze-and-excitation, project; residual where it fits."""

    def __init__(
        self, inside: int, outside: int, kernel: int, stride: int, expansion: int, drop_path: float
    ) -> None:
        super().__init__()
        wide = inside * expansion
        self.expand = nn.Sequential(_conv(inside, wide), nn.BatchNorm2d(wide), nn.SiLU())
        self.depthwise = nn.Sequential(
            _conv(wide, wide, kernel, stride, groups=wide), nn.BatchNorm2d(wide), nn.SiLU()
        )
        self.gate = SqueezeExcite(wide, max(4, inside // 4))
        self.project = nn.Sequential(_conv(wide, outside), nn.BatchNorm2d(outside))
        self.residual = stride == 1 and inside == outside
        self.drop_path = drop_path

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, inside, 1, time) to (batch, outside, 1, time / stride)."""
        y: Tensor = self.project(self.gate(self.depthwise(self.expand(x))))
        if not self.residual:
            return y
        if self.training and self.drop_path > 0:
            y = leave_out(y, self.drop_path)
        return x + y


class EfficientEcg(nn.Module):
    """Window of one lead -> class logits.

    Input (batch, 1, 1, length), float32, normalised by the frontend; output (batch, classes).
    """

    inputs = ("signal",)

    def __init__(self, config: EfficientEcgConfig | None = None) -> None:
        super().__init__()
        c = config or EfficientEcgConfig()
        self.config = c
        self.stem = nn.Sequential(_conv(1, c.stem, c.stem_kernel, 2), nn.BatchNorm2d(c.stem), nn.SiLU())
        blocks: list[nn.Module] = []
        inside = c.stem
        total = sum(c.repeats)
        for outside, repeats, kernel in zip(c.channels, c.repeats, c.kernels, strict=True):
            for i in range(repeats):
                stride = 2 if i == 0 else 1
                drop = c.drop_path * len(blocks) / total
                blocks.append(MBConv(inside, outside, kernel, stride, c.expansion, drop))
                inside = outside
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Sequential(_conv(inside, c.head), nn.BatchNorm2d(c.head), nn.SiLU())
        self.dropout = nn.Dropout(c.dropout)
        self.classify = nn.Linear(2 * c.head, c.classes)

    def forward(self, signal: Tensor) -> Tensor:
        """Give the logits, shape (batch, classes)."""
        logits: Tensor = self.classify(self.dropout(pool(self.encode(signal))))
        return logits

    def encode(self, signal: Tensor) -> Tensor:
        """The last feature map, shape (batch, head, 1, time)."""
        out: Tensor = self.head(self.blocks(self.stem(signal)))
        return out


def pool(x: Tensor) -> Tensor:
    """Mean and maximum over time of a map (batch, channels, 1, time), shape (batch, 2 * channels)."""
    return torch.cat((x.mean(dim=(2, 3)), x.amax(dim=(2, 3))), dim=1)
