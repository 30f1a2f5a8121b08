"""``python -m export NAME``: checkpoint -> ONNX -> TFLite -> int8 -> gate -> bundle.

The steps, in order: ``to_onnx``, ``to_tflite``, ``gate``, ``calibrate`` (on what ``device`` scores),
``manifest``. The published validation records are looked at once, after the gate has passed, for the table
in the manifest.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ecgedge import bundle as bundles
from ecgedge.datasets import cinc2017
from ecgedge.datasets.archive import data_root
from ecgedge.errors import DataError, EcgedgeError, UsageError
from ecgedge.training import checkpoint, metrics
from ecgedge.training.data import ConditionedSet, WindowDataset, load_cinc2017
from ecgedge.training.recipe import Recipe
from ecgedge.training.run import training_sets, window_logits
from export import calibrate, device, gate, manifest, to_onnx
from export.quiet import quiet

CHECKPOINTS = Path(__file__).parent / "checkpoints"
CALIBRATION_WINDOWS = 512
PARITY_WINDOWS = 64

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


@dataclass
class Scored:
    """Windows of a set of records with the float net's logits."""

    windows: gate.Windows
    logits: Floats
    label: Labels
    record: Labels

    def summary(self, logits: Floats, temperature: float) -> dict[str, Any]:
        """Figures over records."""
        means = metrics.mean_by_record(metrics.softmax(logits / temperature), self.record)
        return metrics.summary(self.labels_by_record(), means.argmax(axis=1), cinc2017.CLASSES)

    def labels_by_record(self) -> Labels:
        """Class of each record, in order."""
        first = np.unique(self.record, return_index=True)[1]
        return np.asarray(self.label[first])


def score(trained: checkpoint.Checkpoint, records: ConditionedSet) -> Scored:
    """All windows of the records, with the float net's logits."""
    windows = WindowDataset(records, trained.recipe)
    logits, label, record = window_logits(trained.net, windows)
    return Scored(stacked(windows, trained.recipe), logits, label, record)


def stacked(windows: WindowDataset, recipe: Recipe) -> gate.Windows:
    """Every input of all the windows, by name, each (n, rows, columns)."""
    rows = [windows[k][0] for k in range(len(windows))]
    columns = zip(recipe.inputs, zip(*rows, strict=True), strict=True)
    return {entry["name"]: np.concatenate([t.numpy() for t in column]) for entry, column in columns}


def pick_calibration(fit: ConditionedSet, recipe: Recipe) -> gate.Windows:
    """Windows of training records spread evenly over the set, one a record; none is used in the gate."""
    step = max(1, len(fit.names) // CALIBRATION_WINDOWS)
    chosen = fit.subset(fit.names[::step][:CALIBRATION_WINDOWS])
    return stacked(WindowDataset(chosen, recipe), recipe)


def convert(trained: checkpoint.Checkpoint, calibration: gate.Windows) -> tuple[bytes, bytes]:
    """Float and int8 TFLite models.

    Raises
    ------
    ConversionError
        If a converter gives up.
    """
    with tempfile.TemporaryDirectory() as folder, quiet("conversion"):
        from export import to_tflite  # TensorFlow takes seconds to import: only when it is needed

        onnx_path = Path(folder) / "net.onnx"
        shapes = {name: values.shape[1:] for name, values in calibration.items()}
        to_onnx.to_onnx(trained.net, shapes, onnx_path)
        saved = Path(folder) / "saved"
        to_tflite.to_saved_model(onnx_path, saved)
        return to_tflite.float_tflite(saved), to_tflite.int8_tflite(saved, calibration)


def export(name: str, data: str | None, out: Path) -> None:
    """Run all steps for one model.

    Raises
    ------
    EcgedgeError
        For a checkpoint, data or folder that will not do, a conversion that fails, or a model that fails
        the gate.
    """
    trained = checkpoint.load(CHECKPOINTS / f"{name}.pt")
    recipe = trained.recipe
    if recipe.name != name:
        raise DataError(f"{name}.pt holds {recipe.name!r}", f"the checkpoint of {name!r}")
    root = data_root(data)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {out} ({error.strerror})", "a folder that can be written") from None
    fit, inner_records = training_sets(root, recipe)
    inner = score(trained, inner_records)
    calibration = pick_calibration(fit, recipe)
    float_model, int8_model = convert(trained, calibration)
    print(f"converted: float {len(float_model)} bytes, int8 {len(int8_model)} bytes")
    facts = pass_gate(trained, inner, float_model, int8_model)
    from export.to_tflite import without_names

    lean = without_names(int8_model)
    facts.metrics["command"] = f"python -m export {name}"
    facts.quantisation["calibration"] = f"{count(calibration)} windows of training records"

    draft = manifest.make(recipe, lean, facts)
    on_device, label = device.scores(draft, root, inner_records.names)
    facts.thresholds = calibrate.thresholds(on_device, label, cinc2017.CLASSES.index("A"))
    facts.metrics["validation"] = look_once(trained, lean, root, facts.temperature)
    made = manifest.make(recipe, lean, facts)
    manifest.write(made, out)
    for part in ("inner", "validation"):
        for kind, row in facts.metrics[part].items():
            print(f"{part:10} {kind:7} accuracy {row['accuracy']:.4f}  macro F1 {row['macro_f1']:.4f}")
    print(f"bundle written: {made.name}, {len(lean)} bytes")


def count(windows: gate.Windows) -> int:
    """How many windows there are."""
    return len(next(iter(windows.values())))


def pass_gate(
    trained: checkpoint.Checkpoint, inner: Scored, float_model: bytes, int8_model: bytes
) -> manifest.Facts:
    """Check the models on the inner validation records; returns what was found out on the way.

    Raises
    ------
    GateError
        If the model must not ship.
    """
    some = {name: values[:PARITY_WINDOWS] for name, values in inner.windows.items()}
    parity = gate.check_float(inner.logits[:PARITY_WINDOWS], float_model, some)
    graph = gate.check_graph(int8_model)
    quantised = gate.logits(int8_model, inner.windows)
    temperature = calibrate.temperature(quantised, inner.label)
    by_kind = (("float", inner.logits), ("int8", quantised))
    figures = {kind: inner.summary(logits, temperature) for kind, logits in by_kind}
    agreement = float((quantised.argmax(axis=1) == inner.logits.argmax(axis=1)).mean())
    limits = gate.limits(trained.net)
    gate.check_decisions(figures["float"]["macro_f1"], figures["int8"]["macro_f1"], agreement, limits)
    print(f"gate passed: parity {parity:.1e}, equal decisions {agreement:.4f}")
    return manifest.Facts(
        classes=list(cinc2017.CLASSES),
        temperature=temperature,
        thresholds={"confidence": 0.5, "af_on": 0.5, "af_off": 0.33},  # until they are calibrated
        parameters=sum(p.numel() for p in trained.net.parameters()),
        quantisation={"scheme": "int8 throughout, weights per channel, ranges by min and max", **graph},
        metrics={"float_parity": round(parity, 6), "decisions_equal": round(agreement, 4), "inner": figures},
    )


def look_once(trained: checkpoint.Checkpoint, model: bytes, root: Path, temperature: float) -> dict[str, Any]:
    """Figures on the published validation records, for the table."""
    _, names = cinc2017.published_split(root)
    test = score(trained, load_cinc2017(root, names, trained.recipe))
    return {
        "float": test.summary(test.logits, temperature),
        "int8": test.summary(gate.logits(model, test.windows), temperature),
    }


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m export", description=__doc__.splitlines()[0])
    parser.add_argument("name", help="checkpoint to export, e.g. efficientecg-s")
    parser.add_argument("--data", help="folder of the data sets (default: ECGEDGE_DATA)")
    parser.add_argument("--out", type=Path, default=bundles.FOLDER, help="folder for the bundle")
    given = parser.parse_args()
    try:
        export(given.name, given.data, given.out)
    except EcgedgeError as error:
        print(f"export: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
