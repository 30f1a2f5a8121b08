"""Step 5: golden vectors and the manifest, and the three files of the bundle."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from ecgedge.bundle import SCHEMA, Bundle, check_manifest
from ecgedge.classifier import Classifier
from ecgedge.datasets import cinc2017
from ecgedge.golden import first_inputs
from ecgedge.ports.patient import RATE_HZ, UV_PER_COUNT, SimulatedPatient
from ecgedge.training.recipe import Recipe
from export.gate import inputs_by_name, interpreter, outputs_by_name
from export.micro import fit

NOTICE = "Not a medical device. For research, education and prototyping only; not for diagnosis."
LICENCE = "Apache-2.0 (model weights); trained on data under ODC-BY 1.0, see data"
GOLDEN_SEED = 7
WORDS = {"N": "sinus", "A": "AF", "O": "other", "~": "inconclusive"}
DATA = {
    "set": "PhysioNet/CinC Challenge 2017 training set (AliveCor, single lead, 300 Hz)",
    "licence": "ODC-BY 1.0",
    "attribution": "Clifford et al., AF Classification from a Short Single Lead ECG Recording: the "
    "PhysioNet/Computing in Cardiology Challenge 2017, CinC 2017; Goldberger et al., PhysioNet, 2000",
    "labels": "revision v2 (N 5050, A 738, O 2456, ~ 284)",
    "split": "published ECG-DualNet lists, 7000 for training, 1528 for validation, by record",
}


@dataclass(frozen=True)
class Described:
    """What is known of a model before it is converted."""

    name: str
    task: str
    classes: list[str]
    words: dict[str, str]
    """A verdict for each class."""
    inputs: dict[str, dict[str, Any]]
    """By name, all keys that the manifest has beside those of the tensor."""
    outputs: dict[str, str]
    """Kind of each output by its name, in the order in which the net gives them."""
    window: dict[str, Any]
    preprocessing: dict[str, Any]
    data: dict[str, str]
    golden_s: float
    """Seconds of synthesised signal that hold a whole window."""


@dataclass
class Facts:
    """What the earlier steps found out."""

    temperature: float
    thresholds: dict[str, float]
    parameters: int
    quantisation: dict[str, Any]
    metrics: dict[str, Any]


def _tensor(detail: dict[str, Any]) -> dict[str, Any]:
    scale, zero_point = detail["quantization"]
    return {
        "shape": [int(n) for n in detail["shape"]],
        "dtype": np.dtype(detail["dtype"]).name,
        "scale": float(scale),
        "zero_point": int(zero_point),
    }


def _described(content: bytes) -> dict[str, Any]:
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _outputs(described: Described, run: Interpreter) -> list[dict[str, Any]]:
    """The outputs with the model's tensors, in the model's order, which need not be the net's."""
    names = {d["index"]: name for name, d in outputs_by_name(run, described.outputs).items()}
    return [
        {"name": names[d["index"]], "kind": described.outputs[names[d["index"]]], **_tensor(d)}
        for d in run.get_output_details()
    ]


def of_rhythm(recipe: Recipe) -> Described:
    """A rhythm model, as its recipe tells."""
    window = recipe.window
    every = {"clip": window.clip, "padding": "zeros-right"}
    return Described(
        name=recipe.name,
        task=recipe.task,
        classes=list(cinc2017.CLASSES),
        words=WORDS,
        inputs={entry["name"]: {**entry, **every} for entry in recipe.inputs},
        outputs={"logits": "logits"},
        window={
            "rate_hz": recipe.preprocessing["rate_hz"],
            "length_s": window.length_s,
            "hop_s": window.hop_s,
            "minimum_s": window.minimum_s,
        },
        preprocessing=recipe.preprocessing,
        data=DATA,
        golden_s=window.length_s + 1.0,
    )


def make(described: Described, model: bytes, facts: Facts) -> Bundle:
    """Build the whole bundle in memory, golden vectors made by the device's own code."""
    run, name = interpreter(model), described.name
    manifest: dict[str, Any] = {
        "schema": SCHEMA,
        "name": name,
        "version": "1",
        "task": described.task,
        "classes": described.classes,
        "words": described.words,
        "inputs": [
            {**described.inputs[key], **_tensor(detail)} for key, detail in inputs_by_name(run).items()
        ],
        "outputs": _outputs(described, run),
        "window": described.window,
        "preprocessing": described.preprocessing,
        "temperature": facts.temperature,
        "thresholds": facts.thresholds,
        "quantisation": facts.quantisation,
        "files": {f"{name}.tflite": _described(model)},
        "parameters": facts.parameters,
        "data": described.data,
        "metrics": facts.metrics,
        "licence": LICENCE,
        "notice": NOTICE,
    }
    try:
        micro = fit(model)
    except ValueError:
        micro = None  # it has what tflite-micro has not: a model for computers only
    if micro is not None:
        manifest["micro"] = micro
    golden = _golden(Bundle(name, manifest, model, b""), described.golden_s)
    manifest["files"][f"{name}.golden.npz"] = _described(golden)
    check_manifest(manifest, name)
    return Bundle(name, manifest, model, golden)


def _golden(bundle: Bundle, seconds: float) -> bytes:
    pieces = SimulatedPatient(GOLDEN_SEED, seconds).pieces()
    counts = np.concatenate([piece.counts for piece in pieces]).astype(np.int16)
    classifier = Classifier(bundle)
    quantised = classifier.quantise(first_inputs(bundle, counts, RATE_HZ, UV_PER_COUNT))
    outputs = classifier.raw(quantised)
    arrays = {f"input_{k}": v for k, v in quantised.items()} | {f"output_{k}": v for k, v in outputs.items()}
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, counts=counts, rate_hz=np.float64(RATE_HZ), uv_per_count=np.float64(UV_PER_COUNT), **arrays
    )
    return buffer.getvalue()


def write(bundle: Bundle, folder: Path) -> None:
    """Write the bundle's files; the manifest last, so that a half-written bundle has none."""
    (folder / f"{bundle.name}.tflite").write_bytes(bundle.model)
    (folder / f"{bundle.name}.golden.npz").write_bytes(bundle.golden)
    text = json.dumps(bundle.manifest, indent=1, ensure_ascii=False) + "\n"
    (folder / f"{bundle.name}.json").write_text(text, encoding="utf-8")
