"""ECG-DualNet's signal encoders: overlapping pieces of the window -> one latent vector.

Pieces are ``PIECE`` samples long and begin every ``STEP``; they are fed in as they are, without an input
projection of their own.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

PIECE = 256
STEP = 224


def steps(length: int) -> int:
    """Whole pieces in a window of so many samples."""
    return (length - PIECE) // STEP + 1


def pieces(signal: Tensor) -> list[Tensor]:
    """The pieces, each (batch, PIECE), of ``signal`` (batch, 1, 1, length)."""
    flat = signal.flatten(1)
    return [flat[:, k * STEP : k * STEP + PIECE] for k in range(steps(flat.shape[1]))]


class SignalLstm(nn.Module):
    """Unidirectional LSTM over the pieces; the latent is the top layer's last output."""

    def __init__(self, hidden: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.lstm = nn.LSTM(PIECE, hidden, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)

    def forward(self, signal: Tensor) -> Tensor:
        """Map (batch, 1, 1, length) to (batch, hidden)."""
        latent: Tensor = self.lstm(torch.stack(pieces(signal), dim=1))[0][:, -1]
        return latent


class UnrolledLstm(nn.Module):
    """A ``SignalLstm`` with its recurrence written out: a loop operator cannot be quantised.

    Same weights, same result, no dropout. The inputs' share of the gates is one convolution for all steps:
    the first layer's slides over the signal itself. Gates stand in the order input, forget, output, cell,
    so that one operator does the three sigmoids.
    """

    def __init__(self, encoder: SignalLstm) -> None:
        super().__init__()
        self.inward, self.inner, self.bias = nn.ParameterList(), nn.ParameterList(), nn.ParameterList()
        for inward, inner, bias, inner_bias in encoder.lstm.all_weights:
            first = not len(self.inner)
            kernel = _in_order(inward)
            self.inward.append(kernel[:, None, None, :] if first else kernel[:, :, None, None])
            self.inner.append(_in_order(inner))
            self.bias.append(_in_order(bias + inner_bias))

    def forward(self, signal: Tensor) -> Tensor:
        """Map (batch, 1, 1, length) to (batch, hidden)."""
        x, stride = signal, STEP
        out: list[Tensor] = []
        for inward, inner, bias in zip(self.inward, self.inner, self.bias, strict=True):
            if out:
                x, stride = torch.stack(out, dim=2)[:, :, None], 1
            out = self._recur(nn.functional.conv2d(x, inward, bias, stride=stride), inner)
        return out[-1]

    def _recur(self, projected: Tensor, inner: Tensor) -> list[Tensor]:
        """One layer over all steps; ``projected`` is (batch, 4 hidden, 1, steps)."""
        n = inner.shape[1]
        out: list[Tensor] = []
        cell = torch.empty(0)
        for step in range(projected.shape[3]):
            gates = projected[:, :, 0, step]
            if out:  # before the first step hidden and cell state are zero
                gates = gates + nn.functional.linear(out[-1], inner)
            opened, new = torch.sigmoid(gates[:, : 3 * n]), torch.tanh(gates[:, 3 * n :])
            new = opened[:, :n] * new
            cell = opened[:, n : 2 * n] * cell + new if out else new
            out.append(opened[:, 2 * n :] * torch.tanh(cell))
        return out


def _in_order(gates: Tensor) -> Tensor:
    """Rows in torch's order (input, forget, cell, output) -> input, forget, output, cell."""
    into, forget, cell, outward = gates.detach().chunk(4)
    return torch.cat((into, forget, outward, cell))


class EncoderLayer(nn.Module):
    """Post-norm transformer layer (Vaswani et al., NeurIPS 2017) with GELU.

    Computes what ``torch.nn.TransformerEncoderLayer`` does, with no tensor of more than four dimensions, and
    starts from weights that are drawn as there.
    """

    def __init__(self, width: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.project = nn.Linear(width, width)
        self.widen = nn.Linear(width, feedforward)
        self.narrow = nn.Linear(feedforward, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        # Drawn as one matrix (Glorot and Bengio, AISTATS 2010): half the variance of one for each.
        packed = nn.init.xavier_uniform_(torch.empty(3 * width, width))
        for part, weight in zip((self.query, self.key, self.value), packed.chunk(3), strict=True):
            part.weight = nn.Parameter(weight.clone())
        for part in (self.query, self.key, self.value, self.project):
            nn.init.zeros_(part.bias)

    def _heads(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (batch, steps, width) to the same shape."""
        query, key, value = (self._heads(part(x)) for part in (self.query, self.key, self.value))
        logits = query @ key.transpose(2, 3) * query.shape[3] ** -0.5
        attended = self.dropout(logits.softmax(dim=3)) @ value
        x = self.norm1(x + self.dropout(self.project(attended.transpose(1, 2).reshape(x.shape))))
        fed = self.narrow(self.dropout(nn.functional.gelu(self.widen(x))))
        out: Tensor = self.norm2(x + self.dropout(fed))
        return out


class SignalTransformer(nn.Module):
    """Transformer encoder over the pieces plus a learned position; the latent is the mean over all of them.

    Nothing is masked: zeros that pad a short window count as pieces, as published. As there, and in
    ``torch.nn.TransformerEncoder``, all layers start from the same weights.
    """

    def __init__(self, length: int, layers: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.position = nn.Parameter(0.1 * torch.randn(steps(length), PIECE))
        layer = EncoderLayer(PIECE, heads, feedforward, dropout)
        self.layers = nn.Sequential(*(copy.deepcopy(layer) for _ in range(layers)))
        self.norm = nn.LayerNorm(PIECE)

    def forward(self, signal: Tensor) -> Tensor:
        """Map (batch, 1, 1, length) to (batch, PIECE)."""
        tokens = torch.stack(pieces(signal), dim=1) + self.position
        latent: Tensor = self.norm(self.layers(tokens)).mean(dim=1)
        return latent
