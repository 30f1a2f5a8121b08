"""Run bundles on int8 windows by one set of kernels; for the Python of any machine that has ecgedge's wheel.

    python kernels_run.py WINDOWS.npz OUT.npz PACKAGE KERNELS

PACKAGE is ``ai_edge_litert`` or ``tflite_runtime``, KERNELS one of its kinds of resolver. ``WINDOWS.npz`` has
an array ``BUNDLE INPUT`` for each input, windows first; ``OUT.npz`` the logits by bundle.
"""

from __future__ import annotations

import argparse
from importlib import import_module

import numpy as np

from ecgedge.bundle import open_bundle


def main(windows: str, out: str, package: str, kernels: str) -> None:
    """Run all windows, one at a time."""
    module = import_module(f"{package}.interpreter")
    kind = getattr(module.OpResolverType, kernels)
    with np.load(windows) as archive:
        given = {key: archive[key] for key in archive.files}
    found = {}
    for name in sorted({key.split()[0] for key in given}):
        bundle = open_bundle(name)
        run = module.Interpreter(
            model_content=bundle.model, num_threads=1, experimental_op_resolver_type=kind
        )
        run.allocate_tensors()
        tensors = [given[f"{name} {entry['name']}"] for entry in bundle.manifest["inputs"]]
        places = [detail["index"] for detail in run.get_input_details()]
        told = [entry["kind"] for entry in bundle.manifest["outputs"]].index("logits")
        logits = run.get_output_details()[told]["index"]
        rows = []
        for window in zip(*tensors, strict=True):
            for place, tensor in zip(places, window, strict=True):
                run.set_tensor(place, tensor)
            run.invoke()
            rows.append(run.get_tensor(logits))
        found[name] = np.concatenate(rows)
    np.savez(out, **found)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernels_run", description=__doc__)
    for word in ("windows", "out", "package", "kernels"):
        parser.add_argument(word)
    main(**vars(parser.parse_args()))
