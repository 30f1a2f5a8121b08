"""One net in several runtimes: the shipped int8 bundle, and the float net it was made of."""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module, metadata
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks import report
from ecgedge.bundle import FOLDER, Bundle, open_bundle
from ecgedge.frontend import Frontend, Prepared
from ecgedge.heads import consumer
from ecgedge.messages import SampleBlock, Segment
from ecgedge.models import build
from ecgedge.ports.patient import SimulatedPatient
from export.convert import convert
from export.quiet import quiet
from export.to_onnx import to_onnx

if TYPE_CHECKING:
    from ecgedge.messages import Signal32

CHECKPOINTS = FOLDER.parents[1] / "export" / "checkpoints"
SHIPPED = "LiteRT int8 (shipped)"
CALIBRATION_S = 1200.0
PACKAGES = ("torch", "onnxruntime", "ai-edge-litert", "tflite-runtime", "tflite-micro", "numpy")
Run = Callable[[], Any]


def float_net(name: str) -> torch.nn.Module:
    """The float net of a shipped bundle, of whatever task."""
    content = torch.load(CHECKPOINTS / f"{name}.pt", weights_only=True)
    net = build(content["recipe"]["architecture"], content["recipe"]["net"])
    net.load_state_dict(content["state"])
    return net.eval()


def windows(bundle: Bundle, seconds: float) -> list[dict[str, Signal32]]:
    """Inputs of the net from a simulated patient, as the device makes them."""
    patient = SimulatedPatient(1, seconds)
    board = patient.board
    assert board.rate_hz is not None
    frontend = Frontend((consumer(bundle),))
    frontend.push(Segment(0, 0.0, board.rate_hz, "declared", board))
    out = []
    for piece in patient.pieces():
        for item in frontend.push(SampleBlock(piece.first, piece.counts[:, None].astype(float), 0.0)):
            if isinstance(item, Prepared) and not item.window.provisional:
                out.append(item.tensors)
    return out


def runtimes(name: str, folder: Path) -> Iterator[tuple[str, Run]]:
    """Every runtime with the net loaded, one thread each: its name, and a call that scores one window."""
    bundle = open_bundle(name)
    tensors = windows(bundle, CALIBRATION_S)
    rows = {key: np.stack([t[key].reshape(t[key].shape[1:3]) for t in tensors]) for key in tensors[0]}
    net = float_net(name)
    first = [torch.from_numpy(np.ascontiguousarray(values[:1, None])) for values in rows.values()]
    with quiet("conversion"):
        to_onnx(net, {key: values.shape[1:] for key, values in rows.items()}, folder / "net.onnx")
    floats = convert(net, rows)[0]
    yield from _torch(net, first)
    yield from _onnx(folder, rows, first)
    yield from _tflite(bundle, floats, tensors[0])


def _torch(net: torch.nn.Module, first: list[torch.Tensor]) -> Iterator[tuple[str, Run]]:
    torch.set_num_threads(1)

    def scored(made: Any) -> Run:
        def call() -> None:
            with torch.inference_mode():
                made(*first)

        return call

    yield "torch eager fp32", scored(net)
    yield "torch.compile fp32", scored(torch.compile(net))


def _onnx(folder: Path, rows: dict[str, Signal32], first: list[torch.Tensor]) -> Iterator[tuple[str, Run]]:
    runtime: Any = import_module("onnxruntime")
    quantization: Any = import_module("onnxruntime.quantization")

    class Windows(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._rest = iter(range(len(next(iter(rows.values())))))

        def get_next(self) -> dict[str, Signal32] | None:
            k = next(self._rest, None)
            return None if k is None else {key: values[k : k + 1, None] for key, values in rows.items()}

    with quiet("quantisation"):
        quantization.quantize_static(
            folder / "net.onnx", folder / "int8.onnx", Windows(), per_channel=True,
            quant_format=quantization.QuantFormat.QDQ,
        )  # fmt: skip
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
    feed = dict(zip(rows, (tensor.numpy() for tensor in first), strict=True))
    for title, file in (("onnxruntime fp32", "net.onnx"), ("onnxruntime int8", "int8.onnx")):
        session = runtime.InferenceSession(str(folder / file), options, providers=["CPUExecutionProvider"])
        yield title, partial(session.run, None, feed)


def _tflite(bundle: Bundle, floats: bytes, tensors: dict[str, Signal32]) -> Iterator[tuple[str, Run]]:
    litert: Any = import_module("ai_edge_litert.interpreter")
    old: Any = import_module("tflite_runtime.interpreter")
    plain = litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    golden = np.load(io.BytesIO(bundle.golden))
    int8 = {entry["name"]: golden[f"input_{entry['name']}"] for entry in bundle.manifest["inputs"]}
    with quiet("loading"):
        yield "LiteRT fp32", _interpreted(litert.Interpreter(model_content=floats, num_threads=1), tensors)
        made = litert.Interpreter(model_content=bundle.model, num_threads=1)
        yield SHIPPED, _interpreted(made, int8)
        made = litert.Interpreter(
            model_content=bundle.model, num_threads=1, experimental_op_resolver_type=plain
        )
        yield "LiteRT int8 without XNNPACK", _interpreted(made, int8)
        made = old.Interpreter(model_content=bundle.model, num_threads=1)
        yield "tflite-runtime int8", _interpreted(made, int8)
    micro: Any = import_module("tflite_micro")
    interpreter = micro.runtime.Interpreter.from_bytes(bundle.model)
    values = [int8[entry["name"]] for entry in bundle.manifest["inputs"]]

    def call() -> None:
        for k, value in enumerate(values):
            interpreter.set_input(value, k)
        interpreter.invoke()

    yield "TFLM int8 (reference kernels on this host)", call


def _interpreted(made: Any, tensors: dict[str, Any]) -> Run:
    made.allocate_tensors()
    details = made.get_input_details()
    # By order where there is one input, by name where there are more.
    names = [str(d["name"]).removeprefix("serving_default_").partition(":")[0] for d in details]
    values = [np.asarray(tensors[name]).reshape(d["shape"]) for name, d in zip(names, details, strict=True)]

    def call() -> None:
        for detail, value in zip(details, values, strict=True):
            made.set_tensor(detail["index"], value)
        made.invoke()

    return call


def measure(name: str, rounds: int, seconds: float) -> report.Json:
    """Processor milliseconds for one window, all runtimes in turn in every round.

    Processor time and interleaving, because other programs may be at work; the ratio of a round is to the
    shipped form in the same round.
    """
    with tempfile.TemporaryDirectory() as folder:
        calls = dict(runtimes(name, Path(folder)))
        taken: dict[str, list[float]] = {title: [] for title in calls}
        for call in calls.values():
            for _ in range(3):  # compiled, warmed up
                call()
        for _ in range(rounds):
            for title, call in calls.items():
                taken[title].append(_milliseconds(call, seconds))
    rows = {}
    for title, values in taken.items():
        ratios = [value / base for value, base in zip(values, taken[SHIPPED], strict=True)]
        rows[title] = {
            "cpu_ms": round(median(values), 4),
            "ratio": round(median(ratios), 2),
            "ratio_range": [round(min(ratios), 2), round(max(ratios), 2)],
        }
    return {
        "model": name,
        "rounds": rounds,
        "threads": 1,
        "versions": {package: metadata.version(package) for package in PACKAGES},
        "runtimes": rows,
    }


def _milliseconds(call: Run, seconds: float) -> float:
    """Processor time of a call, the mean over so many seconds of them, at least three."""
    runs, begin_s = 0, time.process_time()
    while runs < 3 or time.process_time() - begin_s < seconds:
        call()
        runs += 1
    return 1000 * (time.process_time() - begin_s) / runs
