"""Runs on an emulated Pi: int8 outputs of every shipped bundle, on variations of its golden tensors.

    python pi_outputs.py OUT.npz                    as the device computes them
    python pi_outputs.py OUT.npz PACKAGE KERNELS    a part of them, by those kernels of that interpreter

Variations are shifts and noise from a seed, the same on every machine (integer arithmetic alone).
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from ecgedge.bundle import Bundle, list_bundles, open_bundle
from ecgedge.classifier import Classifier

VARIATIONS = 40
FEWER = 8
"""By kernels that are named: reference kernels are slow."""


def by_kernels(bundle: Bundle, package: str, kernels: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """As ``Classifier.raw``, with some of the kernels of an interpreter: ``BUILTIN_REF``, those that are the
    same C++ on every machine, or ``BUILTIN_WITHOUT_DEFAULT_DELEGATES``, its own, without XNNPACK."""
    module = import_module(f"{package}.interpreter")
    kind = getattr(module.OpResolverType, kernels)
    run = module.Interpreter(model_content=bundle.model, experimental_op_resolver_type=kind)
    run.allocate_tensors()

    def raw(tensors: dict[str, Any]) -> dict[str, Any]:
        for entry, detail in zip(bundle.manifest["inputs"], run.get_input_details(), strict=True):
            run.set_tensor(detail["index"], tensors[entry["name"]])
        run.invoke()
        outputs = zip(bundle.manifest["outputs"], run.get_output_details(), strict=True)
        return {entry["name"]: run.get_tensor(detail["index"]) for entry, detail in outputs}

    return raw


def main(path: str, package: str = "", kernels: str = "") -> None:
    out = {}
    for name in list_bundles():
        bundle = open_bundle(name)
        raw = by_kernels(bundle, package, kernels) if package else Classifier(bundle).raw
        golden = np.load(io.BytesIO(bundle.golden))
        seed = np.random.RandomState(7)  # whose stream no version of numpy changes
        for k in range(FEWER if package else VARIATIONS):
            tensors = {}
            for entry in bundle.manifest["inputs"]:
                values = golden[f"input_{entry['name']}"].astype(np.int64)
                moved = np.roll(values, 37 * k) + seed.randint(-4 * (k % 5), 4 * (k % 5) + 1, values.shape)
                tensors[entry["name"]] = np.clip(moved, -128, 127).astype(np.int8)
            for output, values in raw(tensors).items():
                out[f"{name} {output} {k}"] = values
    np.savez(path, **out)


if __name__ == "__main__":
    main(*sys.argv[1:])
