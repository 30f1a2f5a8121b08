"""Batch norm whose scale and shift a second signal sets: how ECG-DualNet's encoders are joined."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ConditionalNorm(nn.Module):
    """``y = s(z) * BN(x) + t(z)``, s and t being linear in the latent z without bias.

    As published the scale starts around 0 with either sign; ``from_one`` adds 1 to it. The two maps are
    1x1 convolutions, because a latent with two dimensions of size 1 broadcasts over the right axis in every
    layout that a converter may choose.

    Parameters
    ----------
    channels : of x
    latent : size of z; 0 for a plain batch norm, which takes no z
    """

    def __init__(self, channels: int, latent: int, *, from_one: bool = False) -> None:
        super().__init__()
        self.from_one = from_one
        self.norm = nn.BatchNorm2d(channels)
        self.scale = nn.Conv2d(latent, channels, 1, bias=False) if latent else None
        self.shift = nn.Conv2d(latent, channels, 1, bias=False) if latent else None

    def forward(self, x: Tensor, z: Tensor | None) -> Tensor:
        """Normalise ``x`` (batch, channels, height, width) under ``z`` (batch, latent, 1, 1)."""
        y: Tensor = self.norm(x)
        if self.scale is None or self.shift is None:
            return y
        scale = self.scale(z) + 1.0 if self.from_one else self.scale(z)
        return torch.addcmul(self.shift(z), scale, y)
