"""Input tensors -> scores, with the LiteRT interpreter.

Quantisation, softmax and temperature are numpy; scale and zero point are read from the model's tensors
and must be those of the manifest.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgedge.bundle import Bundle, open_bundle
from ecgedge.errors import BundleError, UsageError

if TYPE_CHECKING:
    import numpy.typing as npt

    from ecgedge.messages import Floats, Signal32


def _interpreter(model: bytes, threads: int) -> tuple[Any, str]:
    """The interpreter of ai-edge-litert, or of its ancestor on 32-bit systems, and which of them it is."""
    runtime = "ai-edge-litert"
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        runtime = "tflite-runtime"
        try:
            from tflite_runtime.interpreter import Interpreter
        except ImportError:
            raise BundleError(
                "no LiteRT interpreter", "ai-edge-litert or tflite-runtime", "pip install ai-edge-litert"
            ) from None
    try:
        with _native_stderr_shut():
            interpreter = Interpreter(model_content=model, num_threads=threads)
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BundleError(f"the interpreter refuses the model ({reason})", "a TFLite model") from None
    return interpreter, runtime


@contextmanager
def _native_stderr_shut() -> Iterator[None]:
    """The interpreter's C++ side greets on standard error, which belongs to our own one-line messages."""
    if sys.stderr is not None:
        sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


class Classifier:
    """One bundle, ready to score windows.

    Parameters
    ----------
    bundle : checked bundle
    threads : threads of the interpreter

    Raises
    ------
    BundleError
        If the model's tensors are not what the manifest says, naming the one that differs.
    """

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        self.bundle = bundle
        self._run, self.runtime = _interpreter(bundle.model, threads)
        """The interpreter, and the package that brought it."""
        self._inputs = _match("input", bundle.manifest["inputs"], self._run.get_input_details())
        self._outputs = _match("output", bundle.manifest["outputs"], self._run.get_output_details())
        self._logits = next(e["name"] for e in bundle.manifest["outputs"] if e["kind"] == "logits")

    def quantise(self, tensors: dict[str, Signal32]) -> dict[str, npt.NDArray[np.int8]]:
        """Float tensors by name -> int8 tensors by name."""
        return {name: _quantise(tensors[name], entry) for name, (_, entry) in self._inputs.items()}

    def raw(self, quantised: dict[str, npt.NDArray[np.int8]]) -> dict[str, npt.NDArray[np.int8]]:
        """Run the net on int8 tensors; int8 outputs by name."""
        for name, (index, _) in self._inputs.items():
            self._run.set_tensor(index, quantised[name])
        self._run.invoke()
        return {name: self._run.get_tensor(index) for name, (index, _) in self._outputs.items()}

    def outputs(self, tensors: dict[str, Signal32]) -> dict[str, Floats]:
        """All outputs of one run by name, in the shape of their description, float64."""
        raw = self.raw(self.quantise(tensors))
        return {name: _real(raw[name], entry) for name, (_, entry) in self._outputs.items()}

    def logits(self, tensors: dict[str, Signal32]) -> Floats:
        """Logits of one window, shape (classes,), float64, before the temperature."""
        raw = self.raw(self.quantise(tensors))[self._logits]
        return _real(raw, self._outputs[self._logits][1]).reshape(-1)

    def probabilities(self, logits: Floats) -> dict[str, float]:
        """Softmax after the bundle's temperature, by class name."""
        shifted = logits / self.bundle.manifest["temperature"]
        weights = np.exp(shifted - shifted.max())
        weights /= weights.sum()
        return dict(zip(self.bundle.classes, weights.tolist(), strict=True))


def _quantise(values: Signal32, entry: dict[str, Any]) -> npt.NDArray[np.int8]:
    counts = values.astype(np.float64)
    counts /= entry["scale"]
    np.rint(counts, out=counts)
    counts += entry["zero_point"]
    np.maximum(np.minimum(counts, 127.0, out=counts), -128.0, out=counts)
    return counts.astype(np.int8)


def _real(values: npt.NDArray[np.int8], entry: dict[str, Any]) -> Floats:
    out: Floats = (values.astype(np.float64) - entry["zero_point"]) * entry["scale"]
    return out


def _match(
    side: str, entries: list[dict[str, Any]], details: list[dict[str, Any]]
) -> dict[str, tuple[int, dict[str, Any]]]:
    """Pair the manifest's tensors with the model's, in order; refuse any difference."""
    if len(entries) != len(details):
        raise BundleError(f"the model has {len(details)} {side}s", f"{len(entries)} as in the manifest")
    out = {}
    for entry, detail in zip(entries, details, strict=True):
        where = f"{side} {entry['name']!r}"
        scale, zero_point = detail["quantization"]
        found: dict[str, Any] = {
            "dtype": np.dtype(detail["dtype"]).name,
            "shape": [int(n) for n in detail["shape"]],
            "zero_point": int(zero_point),
        }
        for key, value in found.items():
            if entry[key] != value:
                raise BundleError(f"{where} has {key} {value}", f"{entry[key]} as in the manifest")
        if entry["dtype"] != "int8" or not scale > 0 or abs(scale - entry["scale"]) > 1e-6 * scale:
            raise BundleError(f"{where} has scale {scale}", f"int8 with {entry['scale']} as in the manifest")
        out[entry["name"]] = (int(detail["index"]), entry)
    return out


def open_models(names: Iterable[str]) -> tuple[Classifier, ...]:
    """Open bundles by name or path, each once.

    Raises
    ------
    BundleError
        If one cannot be opened.
    UsageError
        If two that differ bear the same name, by which everything that follows tells them apart.
    """
    opened: dict[str, Bundle] = {}
    for name in names:
        bundle = open_bundle(name)
        known = opened.setdefault(bundle.name, bundle)
        if known != bundle:
            raise UsageError(f"two different models named {bundle.name!r}", "one, or two of different names")
    return tuple(Classifier(bundle) for bundle in opened.values())
