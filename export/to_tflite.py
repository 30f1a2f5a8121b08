"""Steps 2 and 3: ONNX -> SavedModel (onnx2tf) -> float and int8 TFLite by our own converter pass."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import onnx2tf
import tensorflow as tf
from tensorflow.lite.python.convert import deduplicate_readonly_buffers, mlir_quantize
from tensorflow.lite.tools import flatbuffer_utils

from export.ranges import narrowed

Windows = dict[str, npt.NDArray[np.float32]]
"""Input tensors of many windows by name, each (n, rows, columns)."""


def to_saved_model(onnx_path: Path, folder: Path) -> None:
    """Run onnx2tf; float SavedModel only.

    onnx2tf calls the program ``onnxsim`` and silently leaves simplification out when it is not on PATH, so
    the folder of this interpreter is put there first.
    """
    programs = str(Path(sys.executable).parent)
    os.environ["PATH"] = programs + os.pathsep + os.environ.get("PATH", "")
    onnx2tf.convert(
        input_onnx_file_path=str(onnx_path),
        output_folder_path=str(folder),
        output_signaturedefs=True,
        copy_onnx_input_output_names_to_tflite=True,
        non_verbose=True,
        verbosity="error",
    )


def float_tflite(folder: Path) -> bytes:
    """The float32 model, for the parity check."""
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder))
    return bytes(converter.convert())


def int8_tflite(folder: Path, calibration: Windows, ranges: str = "min-max") -> bytes:
    """The fully int8 model: per-channel weights, int8 input and output.

    Parameters
    ----------
    calibration : real windows, as the frontend makes them
    ranges : of the activations: ``min-max`` of what the windows gave, or ``least-error`` (see ``ranges``)
    """

    def windows() -> Iterator[Windows]:
        for k in range(len(next(iter(calibration.values())))):
            yield {name: values[k][None, :, :, None] for name, values in calibration.items()}

    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = windows
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    least_error = ranges == "least-error"
    converter._experimental_calibrate_only = least_error  # half of its way, to come between
    with warnings.catch_warnings():
        # The converter's own use of it, to find the inputs by name.
        warnings.filterwarnings("ignore", message=r"\s*Warning: tf.lite.Interpreter is deprecated")
        model = bytes(converter.convert())
    if not least_error:
        return model
    quantised = mlir_quantize(narrowed(model, calibration), input_data_type=tf.int8, output_data_type=tf.int8)
    return bytes(deduplicate_readonly_buffers(quantised))


def without_names(model: bytes) -> bytes:
    """The model without the names of its inner tensors (some 40 bytes each), which no device reads."""
    content = flatbuffer_utils.convert_bytearray_to_object(bytearray(model))
    for graph in content.subgraphs:
        kept = {*graph.inputs, *graph.outputs}
        for index, tensor in enumerate(graph.tensors):
            if index not in kept:
                tensor.name = b""
    return bytes(flatbuffer_utils.convert_object_to_bytearray(content))
