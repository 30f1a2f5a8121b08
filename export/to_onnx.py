"""Step 1: PyTorch -> ONNX, static shape, batch 1."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import torch
from torch import nn


def to_onnx(net: nn.Module, length: int, path: Path) -> None:
    """Write the net with one input ``signal`` (1, 1, 1, length) and one output ``logits``.

    The dynamo exporter is used: the legacy one writes operators that have no int8 form.
    """
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own internals; nothing here can mend them
        torch.onnx.export(
            net.eval(),
            (torch.zeros(1, 1, 1, length),),
            str(path),
            input_names=["signal"],
            output_names=["logits"],
            dynamo=True,
            verbose=False,
        )
