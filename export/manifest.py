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
from ecgedge.golden import first_inputs
from ecgedge.ports.patient import RATE_HZ, UV_PER_COUNT, SimulatedPatient
from ecgedge.training.recipe import Recipe
from export.gate import inputs_by_name, interpreter

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


@dataclass
class Facts:
    """What the earlier steps found out."""

    classes: list[str]
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


def _inputs(recipe: Recipe, run: Interpreter) -> list[dict[str, Any]]:
    """The recipe's inputs with the model's tensors, in the model's order."""
    described = {entry["name"]: entry for entry in recipe.inputs}
    return [
        {**described[name], **_tensor(detail), "clip": recipe.window.clip, "padding": "zeros-right"}
        for name, detail in inputs_by_name(run).items()
    ]


def make(recipe: Recipe, model: bytes, facts: Facts) -> Bundle:
    """Build the whole bundle in memory, golden vectors made by the device's own code."""
    window = recipe.window
    run = interpreter(model)
    manifest: dict[str, Any] = {
        "schema": SCHEMA,
        "name": recipe.name,
        "version": "1",
        "task": recipe.task,
        "classes": facts.classes,
        "words": WORDS,
        "inputs": _inputs(recipe, run),
        "outputs": [{"name": "logits", "kind": "logits", **_tensor(run.get_output_details()[0])}],
        "window": {
            "rate_hz": recipe.preprocessing["rate_hz"],
            "length_s": window.length_s,
            "hop_s": window.hop_s,
            "minimum_s": window.minimum_s,
        },
        "preprocessing": recipe.preprocessing,
        "temperature": facts.temperature,
        "thresholds": facts.thresholds,
        "quantisation": facts.quantisation,
        "files": {f"{recipe.name}.tflite": _described(model)},
        "parameters": facts.parameters,
        "data": DATA,
        "metrics": facts.metrics,
        "licence": LICENCE,
        "notice": NOTICE,
    }
    golden = _golden(Bundle(recipe.name, manifest, model, b""))
    manifest["files"][f"{recipe.name}.golden.npz"] = _described(golden)
    check_manifest(manifest, recipe.name)
    return Bundle(recipe.name, manifest, model, golden)


def _golden(bundle: Bundle) -> bytes:
    pieces = SimulatedPatient(GOLDEN_SEED, bundle.window.length_s + 1.0).pieces()
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
