"""A net that learns with the rounding of int8: what its integer form loses, it sees while it is trained.

Weights and activations are rounded as the converter's integers will be, gradients pass as if they were not
(Jacob et al., CVPR 2018; the straight-through estimator of Bengio, Léonard and Courville, arXiv 1308.3432).
Nothing is added to the net: its functions are met on their way, so that it is built, averaged, kept and
exported as any other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SIGMOID_STEP = 1 / 256
"""TFLite's for every sigmoid, whatever values it takes."""
SMALLEST_STEP = 1e-8
"""For tensors that are 0 throughout."""

_Change = Callable[[Tensor], Tensor]
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
pass integers on as they are; what only training has (dropout, stochastic depth) is not there any more."""


@dataclass
class Int8:
    """The arithmetic of int8 for one net.

    Weights have a range for each output channel, from minus to plus the greatest of it. A batch norm joins
    the convolution before it, whose output is not rounded by itself then; since it scales whole output
    channels, it does not change how weights are rounded. Activations have one range a tensor, as measured.
    """

    ranges: list[tuple[float, float]] = field(default_factory=list)
    """Least and greatest value of the inputs and of every activation, in the order in which they come."""

    def measure(self, net: nn.Module, batches: Iterable[Sequence[Tensor]]) -> None:
        """Take the ranges that inputs and activations have in these batches, as the exporter does."""
        self.ranges, training = [], net.training
        found: list[tuple[float, float]] = []

        def see(x: Tensor) -> Tensor:
            found.append((min(float(x.amin()), 0.0), max(float(x.amax()), 0.0)))
            return x

        net.eval()
        with torch.no_grad():
            for inputs in batches:
                found.clear()
                with _Meeting(weight=lambda w: w, sigmoid=torch.sigmoid, activation=see):
                    net(*map(see, inputs))
                before = self.ranges or found
                self.ranges = [(min(a, c), max(b, d)) for (a, b), (c, d) in zip(before, found, strict=True)]
        net.train(training)

    def __call__(self, net: nn.Module, inputs: Sequence[Tensor]) -> Tensor:
        """What the net gives with inputs, weights and activations rounded."""
        ranges = iter(self.ranges)

        def activation(x: Tensor) -> Tensor:
            return rounded(x, *next(ranges))

        with _Meeting(rounded_weight, rounded_sigmoid, activation):
            out: Tensor = net(*map(activation, inputs))
        return out


class _Meeting(TorchFunctionMode):
    """Meets the functions of a net on their way, while it is entered.

    Parameters
    ----------
    weight, activation : what becomes of weights, and of what is kept between two operators of the device
    sigmoid : in place of torch's
    """

    def __init__(self, weight: _Change, sigmoid: _Change, activation: _Change) -> None:
        super().__init__()
        self._weight, self._sigmoid, self._activation = weight, sigmoid, activation

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Call ``func``, or what stands for it on the device."""
        if func is functional.silu:  # two operators on the device
            return self._activation(args[0] * self._sigmoid(args[0]))
        if func in _SIGMOID:
            return self._sigmoid(args[0])
        if func in _WEIGHTED:
            signal, weight, *rest = args
            out = func(signal, self._weight(weight), *rest, **(kwargs or {}))
            bias = rest[0] if rest else (kwargs or {}).get("bias")
            return out if bias is None else self._activation(out)
        out = func(*args, **(kwargs or {}))
        return self._activation(out) if func in _ROUNDED else out


class _Straight(torch.autograd.Function):
    """Whole multiples of a step; the gradient passes straight through."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor | float) -> Tensor:
        return (x / step).round_().mul_(step)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


def to_steps(x: Tensor, step: Tensor | float) -> Tensor:
    """Rounded to whole multiples of a step, with the gradient of ``x`` itself."""
    out: Tensor = _Straight.apply(x, step)  # type: ignore[no-untyped-call]
    return out


def rounded(x: Tensor, low: float, high: float) -> Tensor:
    """Activations in 255 steps from ``low`` to ``high`` (low <= 0 <= high), cut off beyond."""
    step = max((high - low) / 255, SMALLEST_STEP)
    zero = round(-128 - low / step)
    return to_steps(x.clamp((-128 - zero) * step, (127 - zero) * step), step)


def rounded_sigmoid(x: Tensor) -> Tensor:
    """The sigmoid in steps of 1/256."""
    return to_steps(torch.sigmoid(x), SIGMOID_STEP)


def rounded_weight(weight: Tensor) -> Tensor:
    """Weights of each output channel (the first axis) in 127 steps on either side of 0."""
    most = weight.detach().abs().amax(dim=tuple(range(1, weight.ndim)), keepdim=True)
    return to_steps(weight, (most / 127).clamp(min=SMALLEST_STEP))
