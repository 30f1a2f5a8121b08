"""Steps 1 to 3 in one: a net -> ONNX -> float and int8 TFLite, without the converters' chatter."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from export import to_onnx
from export.quiet import quiet

if TYPE_CHECKING:
    from torch import nn

    from export import gate
    from export.manifest import Facts


def convert(net: nn.Module, calibration: gate.Windows, ranges: str = "min-max") -> tuple[bytes, bytes]:
    """Float and int8 TFLite models.

    Parameters
    ----------
    calibration : real windows, each (n, rows, columns), by the names of the net's inputs in the order of its
        arguments
    ranges : of int8 activations, as a recipe names them

    Raises
    ------
    ConversionError
        If a converter gives up.
    """
    with tempfile.TemporaryDirectory() as folder, quiet("conversion"):
        from export import to_tflite  # TensorFlow takes seconds to import: only when it is needed

        onnx_path = Path(folder) / "net.onnx"
        shapes = {name: values.shape[1:] for name, values in calibration.items()}
        to_onnx.to_onnx(net, shapes, onnx_path)
        saved = Path(folder) / "saved"
        to_tflite.to_saved_model(onnx_path, saved)
        both = to_tflite.float_tflite(saved), to_tflite.int8_tflite(saved, calibration, ranges)
    print("converted: float {} bytes, int8 {} bytes".format(*map(len, both)))
    return both


def shipped(int8_model: bytes, facts: Facts, name: str, calibration: gate.Windows) -> bytes:
    """The model as it ships, without names of tensors; the facts learn how it was made."""
    from export.to_tflite import without_names

    windows = len(next(iter(calibration.values())))
    facts.metrics["command"] = f"python -m export {name}"
    facts.quantisation["calibration"] = f"{windows} windows of training records"
    return without_names(int8_model)
