"""A rhythm model from checkpoint to bundle: every step in its order, on the records of CinC 2017.

The published validation records are looked at once, after the gate has passed, for the table in the
manifest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ecgedge.datasets import cinc2017
from ecgedge.training import checkpoint, metrics
from ecgedge.training.data import WindowDataset, calibration_windows, load_cinc2017
from ecgedge.training.run import training_sets, window_logits
from export import calibrate, device, gate, manifest
from export.convert import convert, shipped

if TYPE_CHECKING:
    from pathlib import Path

    from ecgedge.training.data import ConditionedSet
    from ecgedge.training.recipe import Recipe

PARITY_WINDOWS = 64
RANGES = {"min-max": "min and max", "least-error": "least squared error"}
"""Of a recipe, in words."""

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


@dataclass
class Scored:
    """Windows of a set of records with the float net's logits."""

    windows: gate.Windows
    logits: Floats
    label: Labels
    """Class of each window."""
    record: Labels
    """The number of its record."""
    reference: Labels
    """Class of each record, also of one too short for any window."""

    def summary(self, logits: Floats, temperature: float) -> dict[str, Any]:
        """Figures over records, and how far calibrated probabilities are off, over records and windows."""
        windows = metrics.softmax(logits / temperature)
        records = metrics.mean_by_record(windows, self.record, self.reference.size)
        errors = {
            "records": round(metrics.calibration_error(records, self.reference), 4),
            "windows": round(metrics.calibration_error(windows, self.label), 4),
        }
        figures = metrics.summary(self.reference, records.argmax(axis=1), cinc2017.CLASSES)
        return figures | {"calibration_error": errors}


def score(trained: checkpoint.Checkpoint, records: ConditionedSet) -> Scored:
    """All windows of the records, with the float net's logits."""
    windows = WindowDataset(records, trained.recipe)
    logits, label, record = window_logits(trained.net, windows)
    return Scored(stacked(windows, trained.recipe), logits, label, record, np.array(records.labels))


def stacked(windows: WindowDataset, recipe: Recipe) -> gate.Windows:
    """Every input of all the windows, by name, each (n, rows, columns)."""
    rows = [windows[k][0] for k in range(len(windows))]
    columns = zip(recipe.inputs, zip(*rows, strict=True), strict=True)
    return {entry["name"]: np.concatenate([t.numpy() for t in column]) for entry, column in columns}


def export(path: Path, root: Path, out: Path) -> None:
    """Run all steps for one model; see ``export.__main__.TASKS``."""
    trained = checkpoint.load(path)
    recipe = trained.recipe
    fit, inner_records = training_sets(root, recipe)
    inner = score(trained, inner_records)
    calibration = stacked(calibration_windows(fit, recipe), recipe)  # none is used in the gate
    float_model, int8_model = convert(trained.net, calibration, recipe.ranges)
    facts = pass_gate(trained, inner, float_model, int8_model)
    lean = shipped(int8_model, facts, recipe.name, calibration)

    draft = manifest.make(manifest.of_rhythm(recipe), lean, facts)
    on_device, label = device.scores(draft, root, inner_records.names)
    facts.thresholds = calibrate.thresholds(on_device, label, cinc2017.CLASSES.index("A"))
    facts.metrics["validation"] = look_once(trained, lean, root, facts.temperature)
    made = manifest.make(manifest.of_rhythm(recipe), lean, facts)
    manifest.write(made, out)
    for part in ("inner", "validation"):
        for kind, row in facts.metrics[part].items():
            print(f"{part:10} {kind:7} accuracy {row['accuracy']:.4f}  macro F1 {row['macro_f1']:.4f}")
    print(f"bundle written: {made.name}, {len(lean)} bytes, in {out}")


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
        temperature=temperature,
        thresholds={"confidence": 0.5, "af_on": 0.5, "af_off": 0.33},  # until they are calibrated
        parameters=sum(p.numel() for p in trained.net.parameters()),
        quantisation={
            "scheme": f"int8 throughout, weights per channel, ranges by {RANGES[trained.recipe.ranges]}",
            **graph,
        },
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
