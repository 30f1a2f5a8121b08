"""Steps 1 to 3 in one: a net -> ONNX -> float and int8 TFLite, without the converters' chatter."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from export import to_onnx
from export.quiet import quiet

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import nn


def convert(
    net: nn.Module, calibration: dict[str, npt.NDArray[np.float32]], ranges: str = "min-max"
) -> tuple[bytes, bytes]:
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
        return to_tflite.float_tflite(saved), to_tflite.int8_tflite(saved, calibration, ranges)
