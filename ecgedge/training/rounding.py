"""A net that learns with the rounding of int8: what its integer form loses, it sees while it is trained.

Weights and activations are rounded as the converter's integers will be, gradients pass as if they were not
(Jacob et al., CVPR 2018; the straight-through estimator of Bengio, Léonard and Courville, arXiv 1308.3432).
Nothing is added to the net: its functions are met on their way, so that it is built, averaged, kept and
exported as any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SIGMOID_STEP = 1 / 256
"""TFLite's for every sigmoid, whatever values it takes."""
SMALLEST_STEP = 1e-8
"""For tensors that are 0 throughout."""

_WEIGHTED = (functional.conv2d, functional.linear)
_SIGMOID = (torch.sigmoid, Tensor.sigmoid)
_ROUNDED = (
    functional.batch_norm,
    torch.cat,
    torch.add,
    torch.mul,
    torch.mean,
    Tensor.add,
    Tensor.mul,
    Tensor.mean,
)
"""What these give has a range of its own in the integer form. The greatest over time, reshaping and padding
pass integers on as they are; dropout is not there any more."""


def rounding(net: nn.Module, inputs: Sequence[Tensor]) -> Tensor:
    """What a net gives with inputs, weights and activations rounded as in int8."""
    with Rounding():
        out: Tensor = net(*map(rounded, inputs))
    return out


class Rounding(TorchFunctionMode):
    """While it is entered, convolutions, linear layers and what stands between them round as int8 does.

    Weights have a range for each output channel, from minus to plus the greatest of it. A batch norm joins
    the convolution before it, whose output is not rounded by itself then; since it scales whole output
    channels, it does not change how weights are rounded. Activations have one range a tensor, from the least
    to the greatest value in the batch and with 0 in it.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Call ``func`` with rounded weights, and round what it gives."""
        kwargs = kwargs or {}
        if func is functional.silu:  # two operators on the device
            return rounded(args[0] * rounded_sigmoid(args[0]))
        if func in _SIGMOID:
            return rounded_sigmoid(args[0])
        if func in _WEIGHTED:
            signal, weight, bias, *rest = args
            out = func(signal, rounded_weight(weight), bias, *rest, **kwargs)
            return out if bias is None else rounded(out)
        out = func(*args, **kwargs)
        return rounded(out) if func in _ROUNDED else out


class _Straight(torch.autograd.Function):
    """Whole multiples of a step; the gradient passes straight through."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor | float) -> Tensor:
        return torch.round(x / step).mul_(step)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


def to_steps(x: Tensor, step: Tensor | float) -> Tensor:
    """Rounded to whole multiples of a step, with the gradient of ``x`` itself."""
    out: Tensor = _Straight.apply(x, step)  # type: ignore[no-untyped-call]
    return out


def rounded(x: Tensor) -> Tensor:
    """Activations in 255 steps from their least value (or 0) to their greatest (or 0).

    The zero point, a whole number of steps, does not change which multiple is nearest.
    """
    held = x.detach()
    span = held.amax().clamp(min=0) - held.amin().clamp(max=0)
    return to_steps(x, (span / 255).clamp(min=SMALLEST_STEP))


def rounded_sigmoid(x: Tensor) -> Tensor:
    """The sigmoid in steps of 1/256."""
    return to_steps(torch.sigmoid(x), SIGMOID_STEP)


def rounded_weight(weight: Tensor) -> Tensor:
    """Weights of each output channel (the first axis) in 127 steps on either side of 0."""
    most = weight.detach().abs().amax(dim=tuple(range(1, weight.ndim)), keepdim=True)
    return to_steps(weight, (most / 127).clamp(min=SMALLEST_STEP))
