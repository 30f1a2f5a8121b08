"""Axial attention of ECG-DualNet++: attention along one axis at a time, with relative positions.

After Wang et al., *Axial-DeepLab* (ECCV 2020), as ECG-DualNet++ changed it: see ``AxialAttention``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

GROUPS = 16
LOGITS = ("published", "qk")


class AxialAttention(nn.Module):
    """Self-attention along the time or the frequency axis of a map, the other axis being independent.

    Each of 16 groups of g = channels / 16 has q and k of g / 2 and v of g channels. With r the learned
    embedding of the relative position i - j, shared by the groups, the logits are the sum of three
    batch-normed maps: ``Q_ij = q_i . r_q,ij``, ``K_ij = k_i . r_k,ij`` and ``S_ij = sum_m Q_mi K_mj``. That
    third map is the published one; with ``logits="qk"`` it is ``q_i . k_j`` as in Axial-DeepLab, which is far
    cheaper. There is no scale. The output adds ``sum_j A_ij v_j`` and ``sum_j A_ij r_v,ij``, batch-normed.

    Parameters
    ----------
    channels : a multiple of 32
    span : length of the axis that is attended along
    along : "time" (height of the map) or "frequency" (width)
    logits : one of ``LOGITS``
    """

    def __init__(self, channels: int, span: int, along: str, logits: str) -> None:
        super().__init__()
        if channels % (2 * GROUPS):
            raise ValueError(f"axial attention of {channels} channels: a multiple of {2 * GROUPS} is needed")
        if logits not in LOGITS:
            raise ValueError(f"attention {logits!r}: one of {list(LOGITS)} is needed")
        self.channels, self.span, self.along, self.logits = channels, span, along, logits
        self.wide = channels // GROUPS
        self.project = nn.Conv2d(channels, 2 * channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(2 * channels)
        self.relative = nn.Parameter(torch.randn(2 * self.wide, 2 * span - 1))
        self.norm_logits = nn.BatchNorm2d(3 * GROUPS)
        self.norm_output = nn.BatchNorm2d(2 * channels)
        place = torch.arange(span)
        self.register_buffer("offset", place[:, None] - place[None, :] + span - 1, persistent=False)
        self.offset: Tensor

    def _positional(self, x: Tensor, table: Tensor) -> Tensor:
        """``sum_c x[b, g, c, i] table[c, i, j]`` -> (b, g, i, j), as one matrix product for each i."""
        b, groups, c, span = x.shape
        rows = x.permute(3, 0, 1, 2).reshape(span, b * groups, c)
        product = rows @ table.transpose(0, 1)  # (i, b g, c) (i, c, j)
        return product.transpose(0, 1).reshape(b, groups, span, span)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, channels, time, frequency) to the same shape."""
        if self.along == "time":
            x = x.transpose(2, 3)
        batch, _, others, span = x.shape
        half = self.wide // 2
        qkv = self.norm(self.project(x)).transpose(1, 2)  # (batch, others, 2 channels, span)
        qkv = qkv.reshape(batch * others, GROUPS, 2 * self.wide, span)
        query, key, value = qkv[:, :, :half], qkv[:, :, half : self.wide], qkv[:, :, self.wide :]
        table = self.relative[:, self.offset.flatten()].reshape(2 * self.wide, span, span)
        queries = self._positional(query, table[:half])
        keys = self._positional(key, table[half : self.wide])
        both = queries.transpose(2, 3) @ keys if self.logits == "published" else query.transpose(2, 3) @ key
        maps = self.norm_logits(torch.cat((queries, keys, both), dim=1))
        logits = maps[:, :GROUPS] + maps[:, GROUPS : 2 * GROUPS] + maps[:, 2 * GROUPS :]
        attention = logits.softmax(dim=3)
        told = attention @ value.transpose(2, 3)  # (b, g, i, c)
        weights = attention.permute(2, 0, 1, 3).reshape(span, -1, span)  # (i, b g, j)
        placed = weights @ table[self.wide :].permute(1, 2, 0)  # (i, j, c) -> (i, b g, c)
        placed = placed.transpose(0, 1).reshape(told.shape)
        halves = [h.transpose(2, 3).reshape(batch * others, self.channels, 1, span) for h in (told, placed)]
        normed = self.norm_output(torch.cat(halves, dim=1))
        out: Tensor = normed[:, : self.channels] + normed[:, self.channels :]
        out = out.reshape(batch, others, self.channels, span).permute(0, 2, 1, 3)
        return out.transpose(2, 3) if self.along == "time" else out
