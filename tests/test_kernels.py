"""One int8 model, three sets of kernels: what a microcontroller computes is what the device computes.

TensorFlow Lite Micro's kernels are TFLite's reference kernels, so those two must agree within one step.
The optimised ones round every convolution a little differently; steps add up over some forty layers, so
there only the decision is held to be the same.
"""

from __future__ import annotations

import io

import numpy as np
import pytest

from ecgedge import bundle as bundles
from ecgedge.frontend import Consumer, Frontend, Prepared
from ecgedge.messages import SampleBlock, Segment
from ecgedge.ports.patient import SimulatedPatient

runtime = pytest.importorskip(
    "tflite_micro.python.tflite_micro.runtime", reason="needs tflite-micro (x86-64, Python 3.10-3.12)"
)
litert = pytest.importorskip("ai_edge_litert.interpreter", reason="needs ai-edge-litert")

ARENA_BYTES = 4 * 1024 * 1024


def litert_output(model: bytes, kind: str, tensor: np.ndarray) -> np.ndarray:
    kernels = getattr(litert.OpResolverType, kind)
    run = litert.Interpreter(model_content=model, num_threads=1, experimental_op_resolver_type=kernels)
    run.allocate_tensors()
    run.set_tensor(run.get_input_details()[0]["index"], tensor)
    run.invoke()
    return run.get_tensor(run.get_output_details()[0]["index"]).astype(int).reshape(-1)


def windows(bundle: bundles.Bundle) -> list[np.ndarray]:
    """int8 inputs of the simulated patient (sinus rhythm, AF, APCs, noise), and the golden one."""
    manifest = bundle.manifest
    entry = manifest["inputs"][0]
    consumer = Consumer(bundle.name, manifest["preprocessing"], bundle.window, manifest["inputs"])
    patient = SimulatedPatient(seed=11)
    frontend = Frontend((consumer,))
    out = frontend.push(Segment(0, 0.0, 250.0, "declared", patient.board))
    for piece in patient.pieces():
        out += frontend.push(SampleBlock(piece.first, piece.counts[:, None].astype(float), 0.0))
    found = [item for item in out if isinstance(item, Prepared) and not item.window.provisional]
    tensors = [item.tensors[entry["name"]] for item in found]
    steps = [np.rint(t / entry["scale"]) + entry["zero_point"] for t in tensors]
    golden = np.load(io.BytesIO(bundle.golden))[f"input_{entry['name']}"]
    return [np.clip(s, -128, 127).astype(np.int8) for s in steps] + [golden]


@pytest.mark.parametrize("name", bundles.list_bundles())
def test_micro_reference_and_optimised_kernels(name: str) -> None:
    bundle = bundles.open_bundle(name)
    micro = runtime.Interpreter.from_bytes(bundle.model, arena_size=ARENA_BYTES)
    inputs = windows(bundle)
    assert len(inputs) > 20
    for tensor in inputs:
        micro.set_input(tensor, 0)
        micro.invoke()
        told = micro.get_output(0).astype(int).reshape(-1)
        assert np.abs(told - litert_output(bundle.model, "BUILTIN_REF", tensor)).max() <= 1
        for kind in ("BUILTIN", "BUILTIN_WITHOUT_DEFAULT_DELEGATES"):
            assert told.argmax() == litert_output(bundle.model, kind, tensor).argmax()
