"""EfficientECG whole: the signal backbone joined with R-peak and P-wave features, age and sex.

After Deng, Li, Luo and Wu, *EfficientECG*, arXiv 2512.03804 (2025), of which only the abstract and the
outline are known to us: sizes are our own choice, and no published figure is claimed to be reproduced. Named
deviations, for int8: the autoencoder of the R and P features is convolutional in place of an LSTM; the
cross-attention has one head, looks at means over a few seconds, and ends in a batch norm, not a layer norm.

The autoencoder's reconstruction is a second loss in training; its decoders are no part of ``forward``, and so
of no exported graph. An age or sex that no training record had leaves the net as it is with "unknown".
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ecgedge.models.efficientecg import EfficientEcg, EfficientEcgConfig, pool

RECONSTRUCTION = 0.1
"""Weight of the autoencoder's loss beside the classifier's."""


@dataclass(frozen=True)
class FusedConfig(EfficientEcgConfig):
    """The backbone's size, what is joined with it, and sizes of that (of its inputs as in the recipe)."""

    beats: bool = True
    """Whether R-peak and P-wave features are joined."""
    person: bool = True
    """Whether age and sex are."""
    points: int = 32
    """Values of each row of the RR series; a multiple of 4."""
    samples: int = 20
    """Of the piece of signal before a QRS."""
    latent: int = 16
    """Of the autoencoder, for the RR series and for a P wave each."""
    ages: int = 11
    """Length of the age's row, "unknown" with it."""
    sexes: int = 3
    width: int = 32
    """Of the attention's queries, keys and values."""
    places: int = 12
    """Pieces of the window that the attention sees, each the mean of its part of the map; or a few more."""
    unknown: float = 0.5
    """Share of the training windows whose age is taken for unknown; of the sex as well, by itself."""


def _layer(
    inside: int, outside: int, kernel: tuple[int, int], stride: int = 1, pad: int = 0
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, kernel, (stride, stride), (0, pad), bias=False),
        nn.BatchNorm2d(outside),
        nn.SiLU(),
    )


def _decoder(latent: int, values: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(latent, 2 * values), nn.SiLU(), nn.Linear(2 * values, values))


class RrAutoencoder(nn.Module):
    """RR series (batch, 1, 2, points) -> latent (batch, latent, 1, 1); its loss decodes it again."""

    def __init__(self, points: int, latent: int) -> None:
        super().__init__()
        self.encode = nn.Sequential(
            _layer(1, 24, (2, 5), 2, 2),
            _layer(24, 24, (1, 5), 2, 2),
            nn.Conv2d(24, latent, (1, points // 4)),
        )
        self.decode = _decoder(latent, 2 * points)

    def forward(self, series: Tensor) -> Tensor:
        """Encode."""
        out: Tensor = self.encode(series)
        return out

    def loss(self, series: Tensor) -> Tensor:
        """Mean squared error of the reconstruction."""
        return nn.functional.mse_loss(self.decode(self(series).flatten(1)), series.flatten(1))


class PWaveAutoencoder(nn.Module):
    """Pieces before the QRS (batch, 1, beats, samples) -> a latent for each (batch, latent, beats, 1)."""

    def __init__(self, samples: int, latent: int) -> None:
        super().__init__()
        self.encode = nn.Sequential(_layer(1, 12, (1, 5), 1, 2), nn.Conv2d(12, latent, (1, samples)))
        self.decode = _decoder(latent, samples)

    def forward(self, pieces: Tensor) -> Tensor:
        """Encode every beat's piece by itself."""
        out: Tensor = self.encode(pieces)
        return out

    def loss(self, pieces: Tensor) -> Tensor:
        """Mean squared error of the reconstruction."""
        latent = self(pieces).squeeze(3).transpose(1, 2)  # (batch, beats, latent)
        return nn.functional.mse_loss(self.decode(latent), pieces.squeeze(1))


class Token(nn.Module):
    """One of several known values, or unknown, as a learned vector (batch, width, 1, 1).

    Takes a row (batch, 1, 1, values) of one 1 among zeros, "unknown" first. The vector of the unknown is the
    bias; every known value adds one of its own, zero at the start. A value that was never seen in training
    (weight decay leaves zero where it is) is therefore as good as unknown.
    """

    def __init__(self, values: int, width: int, unknown: float) -> None:
        super().__init__()
        self.known = nn.Parameter(torch.zeros(width, 1, 1, values - 1))
        self.bias = nn.Parameter(torch.randn(width))
        self.unknown = unknown

    def forward(self, row: Tensor) -> Tensor:
        """Look up; in training some windows' values are taken for unknown."""
        if self.training:
            row = row * (torch.rand(row.shape[0], 1, 1, 1, device=row.device) >= self.unknown)
        nothing = torch.zeros_like(self.known[..., :1])
        return nn.functional.conv2d(row, torch.cat((nothing, self.known), dim=3), self.bias)


class CrossAttention(nn.Module):
    """Tokens (batch, width, 1, tokens) look at a feature map (batch, channels, 1, time); single head.

    The map has no positions: what a token gathers does not depend on when in the window it happened. It is
    averaged over pieces first, for int8 holds weights in steps of 1/256, and those of hundreds of moments
    would be rounded to nothing.
    """

    def __init__(self, channels: int, width: int, places: int) -> None:
        super().__init__()
        self.places = places
        self.query = nn.Conv2d(width, width, 1)
        self.key = nn.Conv2d(channels, width, 1)
        self.value = nn.Conv2d(channels, width, 1)
        self.project = nn.Conv2d(width, width, 1)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, tokens: Tensor, x: Tensor) -> Tensor:
        """Attend, add the tokens, normalise; the shape of the tokens."""
        piece = max(1, x.shape[3] // self.places)
        x = nn.functional.avg_pool2d(x, (1, piece), (piece, piece))
        query, key, value = self.query(tokens), self.key(x), self.value(x)
        scale = float(key.shape[1]) ** -0.5
        weights = ((query * scale).squeeze(2).transpose(1, 2) @ key.squeeze(2)).softmax(dim=2)
        gathered = (weights @ value.squeeze(2).transpose(1, 2)).transpose(1, 2).unsqueeze(2)
        out: Tensor = self.norm(tokens + self.project(gathered))
        return out


class FusedEcg(EfficientEcg):
    """Window of one lead, its beats and its person -> class logits.

    Takes the tensors named in ``inputs``, in that order, float32: ``signal`` (batch, 1, 1, length), and as
    far as the configuration has them ``rr`` (batch, 1, 2, points), ``p`` (batch, 1, beats, samples), ``age``
    (batch, 1, 1, ages), ``sex`` (batch, 1, 1, sexes); gives (batch, classes).
    """

    def __init__(self, config: FusedConfig | None = None) -> None:
        c = config or FusedConfig()
        if c.points % 4:
            raise ValueError(f"{c.points} points: a multiple of 4 is needed")
        super().__init__(c)
        self.inputs = ("signal", *(("rr", "p") if c.beats else ()), *(("age", "sex") if c.person else ()))
        wide = 2 * c.head
        if c.beats:
            self.rr, self.p = RrAutoencoder(c.points, c.latent), PWaveAutoencoder(c.samples, c.latent)
            wide += 3 * c.latent
        if c.person:
            self.age, self.sex = Token(c.ages, c.width, c.unknown), Token(c.sexes, c.width, c.unknown)
            self.attend = CrossAttention(c.head, c.width, c.places)
            wide += 2 * c.width
        self.classify = nn.Linear(wide, c.classes)

    def forward(self, signal: Tensor, *others: Tensor) -> Tensor:
        """Give the logits, shape (batch, classes)."""
        given: dict[str, Tensor] = dict(zip(self.inputs[1:], others, strict=True))
        x = self.encode(signal)
        parts = [pool(x)]
        if "rr" in given:
            parts += [self.rr(given["rr"]).flatten(1), pool(self.p(given["p"]))]
        if "age" in given:
            tokens = torch.cat((self.age(given["age"]), self.sex(given["sex"])), dim=3)
            parts.append(self.attend(tokens, x).flatten(1))
        logits: Tensor = self.classify(self.dropout(torch.cat(parts, dim=1)))
        return logits

    def auxiliary_loss(self, signal: Tensor, *others: Tensor) -> Tensor:
        """What training adds to the classifier's loss: that of the autoencoders, weighted; a scalar."""
        given: dict[str, Tensor] = dict(zip(self.inputs[1:], others, strict=True))
        if "rr" not in given:
            return signal.new_zeros(())
        return RECONSTRUCTION * (self.rr.loss(given["rr"]) + self.p.loss(given["p"]))
