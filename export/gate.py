"""Step 4: the gate. A model that fails any of these gets no bundle.

The limits are the project's table of int8 tolerances for convolutional nets, measured on held-out real
windows that took no part in calibration.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from ecgedge.errors import EcgedgeError
from export.quiet import silent

MAX_FLOAT_ERROR = 1e-3
"""Float TFLite against torch, as a share of the range of the logits."""
SCALES = (1e-6, 1e3)
MIN_AGREEMENT = 0.99
MAX_F1_LOSS = 0.005
_INT8_GRAPH = {"int8", "int32"}

Floats = npt.NDArray[np.float64]


class GateError(EcgedgeError):
    """A model that must not ship."""

    exit_code = 9


@dataclass(frozen=True)
class Limits:
    """How much an int8 model may differ from its float original."""

    agreement: float = MIN_AGREEMENT
    f1_loss: float = MAX_F1_LOSS


def interpreter(model: bytes, xnnpack: bool = True) -> Interpreter:
    """An interpreter with or without XNNPACK's kernels."""
    kind = OpResolverType.BUILTIN if xnnpack else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    with silent():  # it greets
        made = Interpreter(model_content=model, num_threads=1, experimental_op_resolver_type=kind)
        made.allocate_tensors()
    return made


def check_float(torch_logits: Floats, model: bytes, windows: npt.NDArray[np.float32]) -> float:
    """Compare the float TFLite graph with torch: onnx2tf can get an axis wrong without a word.

    Returns the largest error as a share of the logits' range.

    Raises
    ------
    GateError
        If it is above ``MAX_FLOAT_ERROR``.
    """
    run = interpreter(model)
    inside, outside = run.get_input_details()[0], run.get_output_details()[0]
    logits = []
    for window in windows:
        run.set_tensor(inside["index"], window.reshape(inside["shape"]))
        run.invoke()
        logits.append(run.get_tensor(outside["index"]).reshape(-1))
    error = float(np.abs(np.array(logits) - torch_logits).max() / np.ptp(torch_logits))
    if not error <= MAX_FLOAT_ERROR:
        raise GateError(
            f"float TFLite differs from torch by {error:.2e} of the logit range", f"<= {MAX_FLOAT_ERROR}"
        )
    return error


def check_graph(model: bytes) -> dict[str, Any]:
    """Refuse float or Flex operators, dead or exploded scales, and a model that will not load both ways.

    Returns operator counts and the range of the activation scales.

    Raises
    ------
    GateError
        Naming the operator or tensor.
    """
    plain = _load(model, xnnpack=False)
    _load(model, xnnpack=True)
    tensors = {int(t["index"]): t for t in plain.get_tensor_details()}
    operators: dict[str, int] = {}
    scales: list[float] = []
    for op in plain._get_ops_details():
        name = op["op_name"]
        operators[name] = operators.get(name, 0) + 1
        if name.startswith("Flex") or name in ("CUSTOM", "QUANTIZE", "DEQUANTIZE"):
            raise GateError(f"operator {name}", "int8 built-in operators only")
        for index in op["outputs"]:
            tensor = tensors[int(index)]
            kind = np.dtype(tensor["dtype"]).name
            if kind not in _INT8_GRAPH:
                raise GateError(f"{name} gives {kind} ({tensor['name']})", "int8 throughout")
            scale = float(tensor["quantization"][0])
            if kind == "int8":
                scales.append(scale)
                if not SCALES[0] <= scale <= SCALES[1]:
                    raise GateError(
                        f"scale {scale:.1e} of {tensor['name']}", f"{SCALES[0]:g} to {SCALES[1]:g}"
                    )
    return {"operators": operators, "scale_min": min(scales), "scale_max": max(scales)}


def _load(model: bytes, *, xnnpack: bool) -> Interpreter:
    try:
        return interpreter(model, xnnpack)
    except (RuntimeError, ValueError) as error:
        how = "with" if xnnpack else "without"
        raise GateError(f"does not load {how} XNNPACK ({str(error).splitlines()[0]})", "both") from None


def check_decisions(float_f1: float, int8_f1: float, agreement: float, limits: Limits) -> None:
    """Refuse an int8 model that decides differently from its float original.

    Raises
    ------
    GateError
        Naming the figure that is off.
    """
    if agreement < limits.agreement:
        raise GateError(f"{agreement:.4f} of the decisions are equal", f">= {limits.agreement}")
    if float_f1 - int8_f1 > limits.f1_loss:
        raise GateError(f"macro F1 falls from {float_f1:.4f} to {int8_f1:.4f}", f"a loss <= {limits.f1_loss}")
