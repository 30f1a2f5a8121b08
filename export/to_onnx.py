"""Step 1: PyTorch -> ONNX, static shapes, batch 1."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import torch
from torch import nn


def to_onnx(net: nn.Module, shapes: dict[str, tuple[int, ...]], path: Path) -> None:
    """Write the net with its named inputs, each (1, 1, rows, columns), and its outputs (default: ``logits``).

    A net that must be written otherwise for converters says so by a method ``exportable``. The dynamo
    exporter is used: the legacy one writes operators that have no int8 form.

    Parameters
    ----------
    shapes : rows and columns of each input, in the order of the net's arguments
    """
    exported: nn.Module = net.exportable() if hasattr(net, "exportable") else net  # type: ignore[operator]
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own internals; nothing here can mend them
        torch.onnx.export(
            exported.eval(),
            tuple(torch.zeros(1, 1, *shape) for shape in shapes.values()),
            str(path),
            input_names=list(shapes),
            output_names=list(getattr(net, "outputs", ("logits",))),
            dynamo=True,
            verbose=False,
        )
