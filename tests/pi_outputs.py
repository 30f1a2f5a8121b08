"""Runs on an emulated Pi: int8 outputs of every shipped bundle, on variations of its golden tensors.

    python pi_outputs.py OUT.npz

Variations are shifts and noise from a seed, the same on every machine (integer arithmetic alone).
"""

from __future__ import annotations

import io
import sys

import numpy as np

from ecgedge.bundle import list_bundles, open_bundle
from ecgedge.classifier import Classifier

VARIATIONS = 40


def main(path: str) -> None:
    out = {}
    for name in list_bundles():
        bundle = open_bundle(name)
        classifier = Classifier(bundle)
        golden = np.load(io.BytesIO(bundle.golden))
        seed = np.random.RandomState(7)  # whose stream no version of numpy changes
        for k in range(VARIATIONS):
            tensors = {}
            for entry in bundle.manifest["inputs"]:
                values = golden[f"input_{entry['name']}"].astype(np.int64)
                moved = np.roll(values, 37 * k) + seed.randint(-4 * (k % 5), 4 * (k % 5) + 1, values.shape)
                tensors[entry["name"]] = np.clip(moved, -128, 127).astype(np.int8)
            for output, values in classifier.raw(tensors).items():
                out[f"{name} {output} {k}"] = values
    np.savez(path, **out)


if __name__ == "__main__":
    main(sys.argv[1])
