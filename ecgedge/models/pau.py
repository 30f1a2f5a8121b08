"""Activations of ECG-DualNet: the learned Pade unit; leaky ReLU, which it starts from; and ReLU, for int8.

An int8 tensor with the range of the positive side has steps wider than most of what leaky ReLU(0.01) leaves
of the negative one: rounding takes it away, and with it the means that the norms were fitted to. ReLU has
nothing to lose there and costs no operator of its own.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

ACTIVATIONS = ("pau", "leaky_relu", "relu")
SLOPE = 0.01

_NUMERATOR = (0.0335583603, 0.505000375, 1.65343934, 2.01001052, 0.931901999, 0.152424124)
_DENOMINATOR = (3.30847488e-6, 3.98021568, 5.12471206e-7, 0.301830109)


class Pau(nn.Module):
    """Pade activation unit, safe form (Molina, Schramowski and Kersting, ICLR 2020).

    ``f(x) = (a0 + a1 x + ... + a5 x^5) / (1 + |b1 x| + |b2 x^2| + |b3 x^3| + |b4 x^4|)``; ten learned
    scalars, shared by all elements, that start near leaky ReLU(0.01) on [-3, 3] and bend away from it
    outside. TFLite has no int8 division, so a net with it is a float net.
    """

    def __init__(self) -> None:
        super().__init__()
        self.numerator = nn.Parameter(torch.tensor(_NUMERATOR))
        self.denominator = nn.Parameter(torch.tensor(_DENOMINATOR))

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        above = self.numerator[5]
        for k in (4, 3, 2, 1, 0):  # Horner's scheme
            above = above * x + self.numerator[k]
        size = x.abs()
        b = self.denominator.abs()
        below = b[3] * size
        for k in (2, 1, 0):
            below = (below + b[k]) * size
        return above / (below + 1.0)


def activation(kind: str) -> nn.Module:
    """A new activation of one of ``ACTIVATIONS``.

    Raises
    ------
    ValueError
        For another kind.
    """
    if kind == "pau":
        return Pau()
    if kind == "leaky_relu":
        return nn.LeakyReLU(SLOPE)
    if kind == "relu":
        return nn.ReLU()
    raise ValueError(f"activation {kind!r}: one of {list(ACTIVATIONS)} is needed")
