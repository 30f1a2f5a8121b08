"""Ranges of activations for int8 that round with the least error, in place of those from least to greatest.

A range that reaches to the rarest value gives wide steps to all others. Clipping that value costs its own
error once and makes every other one smaller; where the mean squared error of both together is least is found
by trial, for each tensor by itself (after Sung, Shin and Hwang, arXiv 1511.06488, 2015).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

WINDOWS = 96
VALUES = 4096
"""So many of them of a tensor are looked at, of each of so many windows."""
SHRUNK = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.42, 0.35, 0.3, 0.25)
"""Factors tried, each on both ends of a range at once."""
_FIXED = (schema.BuiltinOperator.LOGISTIC, schema.BuiltinOperator.TANH)
"""Operators whose outputs have ranges of their own."""

Values = npt.NDArray[np.float32]


def narrowed(calibrated: bytes, calibration: dict[str, Values]) -> bytes:
    """The float model with its calibrated ranges narrowed; those of inputs and outputs stay.

    Parameters
    ----------
    calibrated : float model whose tensors hold the least and the greatest value seen
    calibration : real windows by the names of the inputs, each (n, rows, columns)
    """
    content = flatbuffer_utils.convert_bytearray_to_object(bytearray(calibrated))
    (graph,) = content.subgraphs
    kept = {*graph.inputs, *graph.outputs}
    for op in graph.operators:
        code = content.operatorCodes[op.opcodeIndex]
        if max(code.builtinCode, code.deprecatedBuiltinCode) in _FIXED:
            kept.update(op.outputs)
    ranges = {
        index: tensor.quantization
        for index, tensor in enumerate(graph.tensors)
        if index not in kept and tensor.quantization is not None and tensor.quantization.min is not None
    }
    for index, values in seen(calibrated, calibration, list(ranges)).items():
        low, high = min(float(ranges[index].min[0]), 0.0), max(float(ranges[index].max[0]), 0.0)
        factor = least_error(values, low, high)
        ranges[index].min, ranges[index].max = [low * factor], [high * factor]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(content))


def seen(model: bytes, calibration: dict[str, Values], wanted: list[int]) -> dict[int, Values]:
    """Values that the wanted tensors take, drawn from some of the windows; seeded."""
    run = Interpreter(
        model_content=model,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    run.allocate_tensors()
    names = {
        str(detail["name"]).removeprefix("serving_default_").partition(":")[0]: detail
        for detail in run.get_input_details()
    }
    rng = np.random.default_rng(0)
    drawn: dict[int, list[Values]] = {index: [] for index in wanted}
    windows = len(next(iter(calibration.values())))
    for k in range(0, windows, max(1, windows // WINDOWS)):
        for name, detail in names.items():
            run.set_tensor(detail["index"], calibration[name][k].reshape(detail["shape"]))
        run.invoke()
        for index, parts in drawn.items():
            values = run.get_tensor(index).ravel()
            parts.append(values if values.size <= VALUES else rng.choice(values, VALUES))
    return {index: np.concatenate(parts) for index, parts in drawn.items()}


def least_error(values: Values, low: float, high: float) -> float:
    """The factor of ``SHRUNK`` by which a range (low <= 0 <= high) rounds these values best."""
    return min(SHRUNK, key=lambda factor: error(values, low * factor, high * factor))


def error(values: Values, low: float, high: float) -> float:
    """Mean squared error of the values in int8 with this range."""
    if high <= low:
        return 0.0
    scale = (high - low) / 255
    zero = round(-128 - low / scale)
    steps = np.clip(np.rint(values / scale) + zero, -128, 127)
    return float(np.mean(((steps - zero) * scale - values) ** 2))
