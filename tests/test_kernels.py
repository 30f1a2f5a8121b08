"""One int8 model, three sets of kernels: what a microcontroller computes is what the device computes.

TensorFlow Lite Micro's kernels are TFLite's reference kernels, so those two must agree within one step, for
recurrent nets and attention as well. The optimised ones round every convolution a little differently; steps
add up over some forty layers, so there only the decision is held to be the same, unless the two best are
nearly equal.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from benchmarks import kernels, kernels_run
from ecgedge import bundle as bundles
from ecgedge import mcu
from ecgedge.classifier import Classifier
from ecgedge.golden import all_inputs
from ecgedge.ports.patient import RATE_HZ, UV_PER_COUNT, SimulatedPatient

runtime = pytest.importorskip(
    "tflite_micro.python.tflite_micro.runtime", reason="needs tflite-micro (x86-64, Python 3.10-3.12)"
)
litert = pytest.importorskip("ai_edge_litert.interpreter", reason="needs ai-edge-litert")

NEARLY_EQUAL = 5
"""Steps of the output between two classes that rounding may turn: the largest difference of one output
between two sets of kernels, measured over three simulated patients."""


def litert_output(model: bytes, kind: str, tensors: list[np.ndarray], output: int) -> np.ndarray:
    kernels = getattr(litert.OpResolverType, kind)
    run = litert.Interpreter(model_content=model, num_threads=1, experimental_op_resolver_type=kernels)
    run.allocate_tensors()
    for detail, tensor in zip(run.get_input_details(), tensors, strict=True):
        run.set_tensor(detail["index"], tensor)
    run.invoke()
    return run.get_tensor(run.get_output_details()[output]["index"]).astype(int)


def windows(bundle: bundles.Bundle) -> list[list[np.ndarray]]:
    """int8 inputs of the simulated patient (sinus rhythm, AF, APCs, noise) and golden ones, in order."""
    manifest = bundle.manifest
    classifier = Classifier(bundle)
    counts = np.concatenate([piece.counts for piece in SimulatedPatient(seed=11).pieces()])
    found = all_inputs(bundle, counts, RATE_HZ, UV_PER_COUNT)
    golden = np.load(io.BytesIO(bundle.golden))
    names = [entry["name"] for entry in manifest["inputs"]]
    made = [classifier.quantise(tensors) for tensors in found]
    return [[row[name] for name in names] for row in made] + [[golden[f"input_{name}"] for name in names]]


def same_decision(one: np.ndarray, other: np.ndarray, classes: int) -> bool:
    """In every row of scores, one a window or a beat."""
    rows = other.reshape(-1, classes)
    said = rows[np.arange(len(rows)), one.reshape(-1, classes).argmax(axis=1)]
    return bool((rows.max(axis=1) - said <= NEARLY_EQUAL).all())


@pytest.mark.parametrize("name", bundles.list_bundles())
def test_micro_reference_and_optimised_kernels(name: str) -> None:
    bundle = bundles.open_bundle(name)
    room = bundle.manifest["micro"]
    exported = mcu.fitted(bundle.model, room["groups"])
    micro = runtime.Interpreter.from_bytes(exported, arena_size=room["arena_bytes"])
    inputs = windows(bundle)
    assert len(inputs) > 20
    kinds = [entry["kind"] for entry in bundle.manifest["outputs"]]
    logits, classes = kinds.index("logits"), len(bundle.classes)
    for tensors in inputs:
        reference = litert_output(bundle.model, "BUILTIN_REF", tensors, logits)
        for index, tensor in enumerate(tensors):
            micro.set_input(tensor, index)
        micro.invoke()
        told = micro.get_output(logits).astype(int)
        assert np.abs(told - reference).max() <= 1
        assert same_decision(told, reference, classes)
        for kind in ("BUILTIN", "BUILTIN_WITHOUT_DEFAULT_DELEGATES"):
            assert same_decision(told, litert_output(bundle.model, kind, tensors, logits), classes)


# -- the benchmark that holds them against one another ------------------------------------------------------


def test_the_runner_computes_what_the_device_computes(tmp_path: Path) -> None:
    bundle = bundles.open_bundle("efficientecg-xs")
    rows = windows(bundle)[:5]
    names = [entry["name"] for entry in bundle.manifest["inputs"]]
    given = {f"{bundle.name} {name}": np.stack([row[k] for row in rows]) for k, name in enumerate(names)}
    np.savez(tmp_path / "in.npz", **given)
    paths = str(tmp_path / "in.npz"), str(tmp_path / "out.npz")
    kernels_run.main(*paths, kernels.LITERT, kernels.USUAL)
    classifier = Classifier(bundle)
    known = [classifier.raw(dict(zip(names, row, strict=True)))["logits"] for row in rows]
    with np.load(tmp_path / "out.npz") as found:
        np.testing.assert_array_equal(found[bundle.name], np.concatenate(known))


def test_steps_and_decisions_are_counted_a_row_of_scores_each() -> None:
    one = np.array([[[10, 0], [5, 6]], [[-128, 127], [0, 9]]], dtype=np.int8)
    other = np.array([[[9, 0], [6, 5]], [[127, -128], [0, 9]]], dtype=np.int8)
    row = kernels.apart(one, other, 2)
    assert (row["decisions"], row["other_decisions"], row["most_steps"]) == (4, 2, 255)
    assert row["share_within_one"] == 0.75
