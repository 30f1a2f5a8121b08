"""Beats in a row -> a class for each, or one for all of them: after ECG-SL.

The structure is that of Yu, Yang and Sano (arXiv 2310.00818): a six-layer convolutional encoder makes one
embedding of each beat, a transformer encoder relates the beats, attention pools them where the whole row gets
one class. Sizes are our own, and so is this: figures of intervals and likeness stand beside each embedding
and give a second opinion of their own; and norms are batch norms behind projections, in place of layer norms,
since they vanish into the int8 convolutions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

POOLINGS = ("none", "attention", "mean")


@dataclass(frozen=True)
class EcgSlConfig:
    """Sizes of the net."""

    beats: int = 16
    """Places in a window."""
    samples: int = 80
    """Of a beat's segment."""
    classes: int = 4
    emit: tuple[int, ...] = (6, 14)
    """First place that gets a class, and one past the last; of no matter with a pooling."""
    figures: int = 8
    """Of the RR intervals around a beat."""
    intervals: bool = True
    """False: the net does without them."""
    channels: tuple[int, ...] = (16, 24, 24, 32, 32)
    """Of the encoder's convolutions but the last, whose are ``width``."""
    width: int = 32
    """Of an embedding."""
    layers: int = 2
    heads: int = 4
    feedforward: int = 64
    dropout: float = 0.1
    pooling: str = "none"
    """``none``: a class for each beat; ``attention`` or ``mean``: one for the window."""
    reading: int = 0
    """Width of a second opinion from the figures alone, see ``Reading``; 0: none. Not with a pooling."""

    def __post_init__(self) -> None:
        if self.pooling not in POOLINGS:
            raise ValueError(f"pooling {self.pooling!r}, not one of {POOLINGS}")
        if self.width % self.heads:
            raise ValueError(f"width {self.width} of {self.heads} heads")
        if self.reading and (self.pooling != "none" or not self.intervals):
            raise ValueError(
                f"reading {self.reading} with pooling {self.pooling!r}, intervals {self.intervals}"
            )
        first, last = self.emit if self.pooling == "none" else (0, self.beats)
        if not 0 <= first < last <= self.beats:
            raise ValueError(f"emit {self.emit} of {self.beats} beats")


def _convolution(into: int, out: int, kernel: int, stride: int = 1, pad: int = 0) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(into, out, (1, kernel), (1, stride), (0, pad), bias=False), nn.BatchNorm2d(out)
    )


class BeatEncoder(nn.Module):
    """Six convolutions: five of stride 2, and one over what is left of the beat."""

    def __init__(self, samples: int, channels: tuple[int, ...], width: int) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        into, self.left = 2, samples
        for out in channels:
            blocks += [_convolution(into, out, 5, 2, 2), nn.ReLU()]
            into, self.left = out, (self.left + 1) // 2
        blocks.append(_convolution(into, width, self.left))
        self.blocks = nn.Sequential(*blocks)

    def forward(self, beats: Tensor) -> Tensor:
        """Map segments and deviations (batch, 2, beats, samples) to (batch, width, beats, 1)."""
        out: Tensor = self.blocks(beats)
        return out


class BeatDecoder(nn.Module):
    """The encoder mirrored, with transposed convolutions; used in pre-training only."""

    def __init__(self, samples: int, channels: tuple[int, ...], width: int) -> None:
        super().__init__()
        sizes = [samples]
        for _ in channels:
            sizes.append((sizes[-1] + 1) // 2)
        blocks: list[nn.Module] = [nn.ConvTranspose2d(width, channels[-1], (1, sizes[-1])), nn.ReLU()]
        outs = (2, *channels[:-1])
        for k in reversed(range(len(channels))):
            odd = sizes[k] - 2 * sizes[k + 1] + 1  # 0 or 1 more than the transposed convolution gives
            blocks.append(nn.ConvTranspose2d(channels[k], outs[k], (1, 5), (1, 2), (0, 2), (0, odd)))
            blocks.append(nn.ReLU() if k else nn.Identity())
        self.blocks = nn.Sequential(*blocks)

    def forward(self, embeddings: Tensor) -> Tensor:
        """Map (batch, width, beats, 1) to segments and deviations (batch, 2, beats, samples)."""
        out: Tensor = self.blocks(embeddings)
        return out


class BeatLayer(nn.Module):
    """Transformer layer over beats; no tensor has more than four dimensions."""

    def __init__(self, width: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (_convolution(width, width, 1) for _ in range(3))
        self.project = _convolution(width, width, 1)
        self.widen = _convolution(width, feedforward, 1)
        self.narrow = _convolution(feedforward, width, 1)
        self.dropout = nn.Dropout(dropout)

    def _heads(self, x: Tensor) -> Tensor:
        """(batch, width, beats, 1) as (batch, heads, beats, width / heads)."""
        tokens = x.squeeze(3).transpose(1, 2)
        return tokens.reshape(*tokens.shape[:2], self.heads, -1).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (batch, width, beats, 1) to the same shape."""
        query, key, value = (self._heads(part(x)) for part in (self.query, self.key, self.value))
        logits = query @ key.transpose(2, 3) * query.shape[3] ** -0.5
        attended = self.dropout(logits.softmax(dim=3)) @ value
        joined = attended.transpose(1, 2).flatten(2).transpose(1, 2)[..., None]
        x = x + self.dropout(self.project(joined))
        out: Tensor = x + self.dropout(self.narrow(torch.relu(self.widen(x))))
        return out


class AttentionPooling(nn.Module):
    """Mean of the tokens, weighted by softmax(v . tanh(W h))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Conv2d(width, width, 1)
        self.score = nn.Conv2d(width, 1, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, width, beats, 1) to (batch, width)."""
        weights = self.score(torch.tanh(self.inner(x))).softmax(dim=2)
        out: Tensor = (x * weights).sum(dim=(2, 3))
        return out


class Reading(nn.Module):
    """Classes from the figures of a beat and of those around it alone, without its signal.

    Few persons have supraventricular beats: what the signal of theirs has in common is soon learned by heart,
    figures that are told against what is ordinary for each person hold for others as well.
    """

    around = 3
    """Beats on either side."""

    def __init__(self, c: EcgSlConfig) -> None:
        super().__init__()
        self.level = nn.BatchNorm2d(c.figures)
        self.body = nn.Sequential(
            _convolution(c.figures, c.reading, 1 + 2 * self.around, 1, self.around),
            nn.ReLU(),
            nn.Dropout(c.dropout),
            nn.Conv2d(c.reading, c.reading // 2, 1),
            nn.ReLU(),
            nn.Conv2d(c.reading // 2, c.classes, 1),
        )

    def forward(self, intervals: Tensor) -> Tensor:
        """Map figures (batch, 1, beats, figures) to (batch, classes, beats, 1)."""
        told = self.level(intervals.transpose(1, 3)).transpose(2, 3)
        out: Tensor = self.body(told).transpose(2, 3)
        return out


class EcgSl(nn.Module):
    """Windows of beats -> logits."""

    def __init__(self, config: EcgSlConfig) -> None:
        super().__init__()
        self.config = c = config
        self.inputs = ("segments", "deviations", "intervals") if c.intervals else ("segments", "deviations")
        self.encoder = BeatEncoder(c.samples, c.channels, c.width)
        self.figures = (
            nn.Sequential(_convolution(1, c.width, c.figures), nn.ReLU(), nn.Conv2d(c.width, c.width, 1))
            if c.intervals
            else None
        )
        self.position = nn.Parameter(0.1 * torch.randn(1, c.width, c.beats, 1))
        self.layers = nn.Sequential(
            *(BeatLayer(c.width, c.heads, c.feedforward, c.dropout) for _ in range(c.layers))
        )
        self.pool = AttentionPooling(c.width) if c.pooling == "attention" else None
        self.dropout = nn.Dropout(c.dropout)
        self.reading = Reading(c) if c.reading else None
        self.head = nn.Sequential(nn.Conv2d(c.width, c.width, 1), nn.ReLU(), nn.Conv2d(c.width, c.classes, 1))

    def embed(self, segments: Tensor, deviations: Tensor) -> Tensor:
        """Embeddings of beats (batch, 1, beats, samples), shape (batch, width, beats, 1)."""
        out: Tensor = self.encoder(torch.cat((segments, deviations), dim=1))
        return out

    def relate(self, embeddings: Tensor, intervals: Tensor | None = None) -> Tensor:
        """Tokens that know of each other, of embeddings and RR figures (batch, 1, beats, figures)."""
        x = embeddings + self.position
        if self.figures is not None:
            x = x + self.figures(intervals)
        out: Tensor = self.layers(x)
        return out

    def _joined(self, told: Tensor, read: Tensor) -> Tensor:
        """Both opinions; in training one of them for each window, so that each learns to do alone."""
        if not self.training:
            return told + read
        alone = 2 * (torch.rand(told.shape[0], 1, 1, 1, device=told.device) < 0.5).float()
        return told * alone + read * (2 - alone)

    def forward(self, segments: Tensor, deviations: Tensor, intervals: Tensor | None = None) -> Tensor:
        """Logits (batch, reported beats, classes); with a pooling, (batch, classes)."""
        x = self.relate(self.embed(segments, deviations), intervals)
        if self.config.pooling == "none":
            emitted = slice(*self.config.emit)
            told: Tensor = self.head(self.dropout(x[:, :, emitted]))
            if self.reading is not None:
                told = self._joined(told, self.reading(intervals)[:, :, emitted])
            return told.squeeze(3).transpose(1, 2)
        pooled = self.pool(x) if self.pool is not None else x.mean(dim=(2, 3))
        out: Tensor = self.head(self.dropout(pooled)[:, :, None, None])
        return out.flatten(1)
