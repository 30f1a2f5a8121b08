"""A bundle as C: the network as an array, its manifest as a header.

All that a program needs beside the network stands in the header: how the input is made, its scale and zero
point, the classes, the operators to be registered, the bytes of the tensor arena.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

from ecgedge.mcu.narrow import operators

if TYPE_CHECKING:
    from ecgedge.bundle import Bundle

_WIDTH = 16
_IRREGULAR = {
    "CONV_2D": "Conv2D",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2D",
    "AVERAGE_POOL_2D": "AveragePool2D",
    "MAX_POOL_2D": "MaxPool2D",
    "PADV2": "PadV2",
    "LEAKY_RELU": "LeakyRelu",
    "RELU6": "Relu6",
    "BATCH_MATMUL": "BatchMatMul",
}
"""TFLite's names of operators whose method of MicroMutableOpResolver is not the same in CamelCase."""


def file_stem(bundle: Bundle) -> str:
    """Name of the files, without ending."""
    return f"{_identifier(bundle.name)}_model"


def array(bundle: Bundle, model: bytes) -> str:
    """A network as a C array, aligned as TensorFlow Lite Micro wants it."""
    name = _identifier(bundle.name)
    rows = (model[at : at + _WIDTH] for at in range(0, len(model), _WIDTH))
    body = "\n".join("    " + " ".join(f"0x{byte:02x}," for byte in row) for row in rows)
    declared = f"__attribute__((aligned(16))) const unsigned char {name}_model[{len(model)}]"
    return f'{_about(bundle)}#include "{name}_model.h"\n\n{declared} = {{\n{body}\n}};\n'


def header(bundle: Bundle, model: bytes) -> str:
    """The manifest as a C header, for the network ``model`` that was made of the bundle's."""
    manifest, name = bundle.manifest, _identifier(bundle.name)
    prefix = name.upper()
    lines: list[str] = []

    def define(key: str, value: object, remark: str = "") -> None:
        lines.append(f"#define {prefix}_{key} {value}{f' /* {remark} */' if remark else ''}")

    define("MODEL_BYTES", len(model))
    define("ARENA_BYTES", manifest["micro"]["arena_bytes"], f"least, by {manifest['micro']['interpreter']}")
    _signal(manifest, define)
    for side in ("inputs", "outputs"):
        for index, entry in enumerate(manifest[side]):
            _tensor(f"{side[:-1].upper()}_{_identifier(entry['name']).upper()}", index, entry, define)
    define("TEMPERATURE", _number(manifest["temperature"]), "divide the logits by it before the softmax")
    for key, value in manifest["thresholds"].items():
        define(f"THRESHOLD_{key.upper()}", _number(value))
    define("CLASSES", len(bundle.classes), "in the order of the logits")
    _words("CLASS_NAMES", bundle.classes, define)
    _words("CLASS_WORDS", [manifest["words"][key] for key in bundle.classes], define)
    used = operators(model)
    define("OPERATOR_COUNT", len(used))
    calls = " ".join(f"X({_method(operator)})" for operator in used)
    define("OPERATORS(X)", calls)
    body = "\n".join(lines)
    return f"""{_about(bundle)}#ifndef {prefix}_MODEL_H
#define {prefix}_MODEL_H

#ifdef __cplusplus
extern "C" {{
#endif

{body}

/* Registers what the network needs: {prefix}_OPERATORS calls X with each method of the resolver.
 *
 *   tflite::MicroMutableOpResolver<{prefix}_OPERATOR_COUNT> resolver;
 *   #define X(method) resolver.method();
 *   {prefix}_OPERATORS(X)
 */
extern const unsigned char {name}_model[{prefix}_MODEL_BYTES];

#ifdef __cplusplus
}}
#endif

#endif
"""


def _about(bundle: Bundle) -> str:
    manifest = bundle.manifest
    digest = manifest["files"][f"{bundle.name}.tflite"]["sha256"]
    lines = (
        f"{bundle.name}, version {manifest['version']}, task {manifest['task']}.",
        f"Of the network with sha256 {digest}, wide stages in groups of channels: the same results.",
        f"Licence: {manifest['licence']}",
        *(f"{key.capitalize()}: {value}" for key, value in manifest["data"].items()),
        manifest["notice"],
        "Written by: ecgedge models export",
    )
    return "/* " + "\n * ".join(line.replace("*/", "* /") for line in lines) + "\n */\n"


def _signal(manifest: dict[str, Any], define: Any) -> None:
    """How the window is cut and made."""
    window, preprocessing = manifest["window"], manifest["preprocessing"]
    define("PREPROCESSING_VERSION", preprocessing["version"])
    for key in ("rate_hz", "highpass_hz", "lowpass_hz"):
        define(key.upper(), _number(preprocessing[key]))
    for key, value in window.items():
        if isinstance(value, (int, float)) and key != "rate_hz":
            define(f"WINDOW_{key.upper()}", _number(value))
    if "length_s" in window:
        define("WINDOW_SAMPLES", round(window["length_s"] * window["rate_hz"]))


def _tensor(key: str, index: int, entry: dict[str, Any], define: Any) -> None:
    define(f"{key}_INDEX", index, entry["kind"])
    define(f"{key}_VALUES", math.prod(entry["shape"]), "int8, shape " + " x ".join(map(str, entry["shape"])))
    define(f"{key}_SCALE", _number(entry["scale"]))
    define(f"{key}_ZERO_POINT", entry["zero_point"])
    if entry["kind"] == "signal":
        define(f"{key}_CLIP", _number(entry["clip"]), "standard deviations: z-score of the window, clipped")
    for name in set(entry) - {"name", "kind", "shape", "dtype", "scale", "zero_point", "clip", "padding"}:
        if isinstance(entry[name], (int, float)):
            define(f"{key}_{name.upper()}", _number(entry[name]))


def _words(key: str, words: list[str], define: Any) -> None:
    define(key, "{" + ", ".join(json.dumps(word) for word in words) + "}")


def _number(value: float) -> str:
    """A whole number as it is, any other as a float that reads back the same in single precision."""
    return f"{value}" if isinstance(value, int) else f"{value!r}f"


def _identifier(name: str) -> str:
    return re.sub(r"\W", "_", name)


def _method(operator: str) -> str:
    """The resolver's method that registers an operator."""
    return "Add" + _IRREGULAR.get(operator, "".join(word.capitalize() for word in operator.split("_")))
