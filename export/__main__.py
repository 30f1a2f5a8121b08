"""``python -m export MODEL``: checkpoint -> ONNX -> TFLite -> int8 -> gate -> bundle.

The steps, in order: ``to_onnx``, ``to_tflite`` (both by ``convert``), ``gate``, ``calibrate`` (on what
``device`` scores), ``manifest``. A module for each task takes them.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
from pathlib import Path

from ecgedge import bundle as bundles
from ecgedge.datasets.archive import data_root
from ecgedge.errors import DataError, EcgedgeError, UsageError
from ecgedge.extras import needed

CHECKPOINTS = Path(__file__).parent / "checkpoints"
CONVERTERS = ("onnxscript", "onnx2tf", "tensorflow")
TASKS = {"apc": "export.apc", "beats": "export.beats", "rhythm": "export.rhythm"}
"""The module of each task. Its ``export(path, root, out)`` takes a checkpoint, the folder of the data sets
and an existing folder for the bundle, and raises what ``export`` below does."""


def export(model: str, data: str | None, out: Path) -> None:
    """Run all steps for one model: a name in ``CHECKPOINTS``, or the path of any ``.pt``.

    Raises
    ------
    EcgedgeError
        For a missing extra, a checkpoint, data or folder that will not do, a conversion that fails, or a
        model that fails the gate.
    """
    with needed():
        for package in CONVERTERS:  # they take seconds to import, and are needed last: only looked for here
            if importlib.util.find_spec(package) is None:
                raise ModuleNotFoundError(name=package)
        from ecgedge.training import checkpoint

    named = Path(model).suffix != ".pt"
    path = CHECKPOINTS / f"{model}.pt" if named else Path(model)
    name, task = checkpoint.name_and_task(path)
    if named and name != model:
        raise DataError(f"{path.name} holds {name!r}", f"the checkpoint of {model!r}")
    if task not in TASKS:
        raise DataError(f"{path.name} is a model for the task {task!r}", f"one of {sorted(TASKS)}")
    with needed():
        steps = importlib.import_module(TASKS[task])
    root = data_root(data)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {out} ({error.strerror})", "a folder that can be written") from None
    steps.export(path, root, out)


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m export", description=__doc__.splitlines()[0])
    parser.add_argument("model", help="name of a kept checkpoint, e.g. efficientecg-s, or path of a .pt file")
    parser.add_argument("--root", help="folder of the data sets (default: ECGEDGE_DATA)")
    parser.add_argument("--out", type=Path, default=bundles.FOLDER, help="folder for the bundle")
    given = parser.parse_args()
    try:
        export(given.model, given.root, given.out)
    except EcgedgeError as error:
        print(f"export: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
