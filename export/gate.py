"""Step 4: the gate. A model that fails any of these gets no bundle.

The limits are the project's table of int8 tolerances, measured on held-out real windows that took no part
in calibration.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from torch import nn

from ecgedge.errors import EcgedgeError
from ecgedge.models.axial import AxialAttention
from ecgedge.models.ecg_sl import BeatLayer
from ecgedge.models.signal_encoder import EncoderLayer
from export.quiet import silent

MAX_FLOAT_ERROR = 1e-3
"""Float TFLite against torch, as a share of the range of the logits."""
SCALES = (1e-6, 1e3)
_INT8_GRAPH = {"int8", "int32"}

Floats = npt.NDArray[np.float64]
Windows = dict[str, npt.NDArray[np.float32]]
"""Input tensors of many windows by name, each (n, rows, columns)."""


class GateError(EcgedgeError):
    """A model that must not ship."""

    exit_code = 9


@dataclass(frozen=True)
class Limits:
    """How much an int8 model may differ from its float original."""

    agreement: float
    """Least share of equal decisions."""
    f1_loss: float


CONVOLUTIONAL = Limits(0.99, 0.005)
RECURRENT = Limits(0.98, 0.01)
"""For an LSTM, unrolled, and for nets with two inputs or more."""
ATTENTION = Limits(0.97, 0.015)


def limits(net: nn.Module) -> Limits:
    """Which of the three rows of the table a net belongs to."""
    kinds = {type(module) for module in net.modules()}
    if kinds & {AxialAttention, BeatLayer, EncoderLayer}:
        return ATTENTION
    return RECURRENT if nn.LSTM in kinds or len(net.inputs) > 1 else CONVOLUTIONAL  # type: ignore[arg-type]


def interpreter(model: bytes, xnnpack: bool = True) -> Interpreter:
    """An interpreter with or without XNNPACK's kernels."""
    kind = OpResolverType.BUILTIN if xnnpack else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    with silent():  # it greets
        made = Interpreter(model_content=model, num_threads=1, experimental_op_resolver_type=kind)
        made.allocate_tensors()
    return made


def inputs_by_name(run: Interpreter) -> dict[str, dict[str, Any]]:
    """The model's inputs in its own order, by the names that the net was exported with."""
    return {
        str(detail["name"]).removeprefix("serving_default_").partition(":")[0]: detail
        for detail in run.get_input_details()
    }


def outputs_by_name(run: Interpreter, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The model's outputs by the names that the net gives them, in the net's order.

    The converter forgets the names and numbers the outputs, and the model may list them in another order.
    """
    in_order = sorted(
        run.get_output_details(), key=lambda detail: int(str(detail["name"]).rpartition(":")[2] or 0)
    )
    return dict(zip(names, in_order, strict=True))


def logits(model: bytes, windows: Windows) -> Floats:
    """Logits (n, classes) of a float or int8 model, by the interpreter that ships."""
    return outputs(model, windows, ("logits",))["logits"]


def outputs(model: bytes, windows: Windows, names: Sequence[str]) -> dict[str, Floats]:
    """What a float or int8 model gives for each window, (n, values), by the interpreter that ships.

    Parameters
    ----------
    names : of all outputs, in the order in which the net gives them
    """
    run = interpreter(model)
    inside, outside = inputs_by_name(run), outputs_by_name(run, names)
    out: dict[str, list[Floats]] = {name: [] for name in outside}
    for k in range(len(next(iter(windows.values())))):
        for name, detail in inside.items():
            run.set_tensor(detail["index"], _quantised(windows[name][k], detail).reshape(detail["shape"]))
        run.invoke()
        for name, detail in outside.items():
            values = run.get_tensor(detail["index"]).reshape(-1).astype(np.float64)
            scale, zero_point = detail["quantization"]
            out[name].append((values - zero_point) * scale if scale else values)
    return {name: np.array(rows) for name, rows in out.items()}


def _quantised(values: npt.NDArray[np.float32], detail: dict[str, Any]) -> npt.NDArray[Any]:
    scale, zero_point = detail["quantization"]
    if not scale:  # a float model
        return values
    steps = np.rint(values.astype(np.float64) / scale) + zero_point
    return np.asarray(np.clip(steps, -128, 127), dtype=np.int8)


def check_float(torch_logits: Floats, model: bytes, windows: Windows) -> float:
    """Compare the float TFLite graph with torch: onnx2tf can get an axis wrong without a word.

    Returns the largest error as a share of the logits' range.

    Raises
    ------
    GateError
        If it is above ``MAX_FLOAT_ERROR``.
    """
    return check_outputs({"logit": torch_logits}, {"logit": logits(model, windows)})["logit"]


def check_outputs(torch_outputs: dict[str, Floats], outputs: dict[str, Floats]) -> dict[str, float]:
    """The same of several outputs, by name; returns the largest error of each as a share of its range.

    Raises
    ------
    GateError
        If one is above ``MAX_FLOAT_ERROR``.
    """
    errors = {
        name: float(np.abs(outputs[name] - wanted).max() / np.ptp(wanted))
        for name, wanted in torch_outputs.items()
    }
    for name, error in errors.items():
        if not error <= MAX_FLOAT_ERROR:
            raise GateError(
                f"float TFLite differs from torch by {error:.2e} of the {name} range", f"<= {MAX_FLOAT_ERROR}"
            )
    return errors


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
