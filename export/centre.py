"""Keys and values of a net after ECG-SL about zero, before it is quantised.

XNNPACK takes the right side of a batched int8 product as if its zero point were 0, silently. Where the range
of a tensor is centred, so is its zero point, and it is. In float nothing changes: a constant that all keys
share adds the same to every logit of a softmax, and one that all values share passes the attention whole,
since its weights sum to 1, and is taken back behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ecgedge.models.ecg_sl import BeatLayer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor, nn


def centre(net: nn.Module, windows: Iterable[list[Tensor]]) -> None:
    """Shift the biases of keys and values so that the middle of their range over the windows is 0.

    Parameters
    ----------
    net : in evaluation mode; changed in place
    windows : batches of its inputs
    """
    layers = [layer for layer in net.modules() if isinstance(layer, BeatLayer)]
    seen: dict[nn.Module, list[float]] = {part: [] for layer in layers for part in (layer.key, layer.value)}
    hooks = [
        part.register_forward_hook(
            lambda part, _, out: seen[part].extend((float(out.min()), float(out.max())))
        )
        for part in seen
    ]
    with torch.no_grad():
        for inputs in windows:
            net(*inputs)
        for hook in hooks:
            hook.remove()
        middles = {part: (min(values) + max(values)) / 2 for part, values in seen.items()}
        for layer in layers:
            for part in (layer.key, layer.value):
                part[1].get_parameter("bias").sub_(middles[part])
            shared = layer.project[0].get_parameter("weight").flatten(1).sum(dim=1) * middles[layer.value]
            layer.project[1].get_buffer("running_mean").sub_(shared)
