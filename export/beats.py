"""A beat model from checkpoint to bundle: every step in its order, on the records of MIT-BIH.

The gate looks at the inner records of DS1. DS2 is looked at once, after the gate has passed, for the table in
the manifest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ecgedge.beat_windows import KINDS
from ecgedge.datasets import mitdb
from ecgedge.errors import UsageError
from ecgedge.training import checkpoint
from ecgedge.training.beats import evaluate, report
from ecgedge.training.beats import recipe as recipes
from ecgedge.training.beats.data import CLASSES, NONE
from ecgedge.training.beats.figures import summary
from ecgedge.training.beats.run import batches, logits_of
from ecgedge.training.beats.sets import names_of, pieces, windows
from export import calibrate, gate, manifest
from export.centre import centre
from export.convert import convert, shipped

if TYPE_CHECKING:
    from pathlib import Path

    from ecgedge.training.beats.data import BeatSet
    from ecgedge.training.beats.recipe import BeatRecipe

CALIBRATION_WINDOWS = 512
PARITY_WINDOWS = 64
WORDS = {"N": "normal", "S": "supraventricular", "V": "ventricular", "F": "fusion"}
DATA = {
    "set": "MIT-BIH Arrhythmia Database, DS1 (both leads); PhysioNet/CinC Challenge 2017 training records, "
    "their beats told by rules from the rhythm of the record; both once more with premature beats made of "
    "ordinary ones, with beats left out as a block does, and with made atrial fibrillation",
    "licence": "ODC-BY 1.0",
    "attribution": "Moody and Mark, The impact of the MIT-BIH Arrhythmia Database, IEEE Eng. in Med. and "
    "Biol. 20(3), 2001; Clifford et al., CinC 2017; Goldberger et al., PhysioNet, 2000",
    "labels": "N (with bundle branch block and escape beats), S (A a J S), V (V E), F",
    "split": "inter-patient after de Chazal et al. 2004: DS1 for training and choice, DS2 for the table",
}
GOLDEN_S = 40.0
"""Of synthesised signal, more than a row of beats."""

Floats = npt.NDArray[np.float64]


def export(path: Path, root: Path, out: Path) -> None:
    """Run all steps for one model; see ``export.__main__.TASKS``."""
    trained = checkpoint.load_as(path, recipes.from_table)
    plan = trained.recipe
    if not plan.per_beat:
        raise UsageError(f"{path.name} tells a class of {plan.data.set}", "a model that classes beats")
    fit_names, inner_names = names_of(root, plan)
    fit, inner = (windows(pieces(root, plan, names, 0), plan) for names in (fit_names, inner_names))
    calibrating = fit.take(_spread(fit))
    calibration = _tensors(calibrating, plan)
    centre(trained.net, (inputs[: len(plan.inputs)] for *inputs, _ in batches(calibrating)))
    float_model, int8_model = convert(trained.net, calibration)
    facts = pass_gate(trained, inner, float_model, int8_model)
    lean = shipped(int8_model, facts, plan.name, calibration)
    made = manifest.make(described(plan), lean, facts)
    manifest.write(made, out)
    facts.metrics["test"] = look_once(path, str(out / f"{made.name}.json"), root)
    made = manifest.make(described(plan), lean, facts)
    manifest.write(made, out)
    print(f"bundle written: {made.name}, {len(lean)} bytes, in {out}")


def _spread(fit: BeatSet) -> npt.NDArray[np.int64]:
    """Windows for calibration: half of them spread evenly, half among those with another beat than N."""
    other = np.flatnonzero((fit.labels > 0).any(axis=1))
    chosen = [
        rows[np.linspace(0, len(rows) - 1, min(len(rows), CALIBRATION_WINDOWS // 2)).astype(int)]
        for rows in (np.arange(len(fit)), other)
        if len(rows)
    ]
    return np.asarray(np.unique(np.concatenate(chosen)))


def _tensors(found: BeatSet, plan: BeatRecipe) -> gate.Windows:
    """Every input of all the windows, by name, each (n, beats, columns)."""
    parts = (found.segments, found.deviations, found.intervals)
    every = {kind: part.astype(np.float32) for kind, part in zip(KINDS, parts, strict=True)}
    return {entry["name"]: every[entry["kind"]] for entry in plan.inputs}


def pass_gate(
    trained: checkpoint.Trained[BeatRecipe], inner: BeatSet, float_model: bytes, int8_model: bytes
) -> manifest.Facts:
    """Check the models on the inner records of DS1; returns what was found out on the way.

    Raises
    ------
    GateError
        If the model must not ship.
    """
    plan, tensors = trained.recipe, _tensors(inner, trained.recipe)
    wanted = logits_of(trained.net, inner)
    flat = wanted.reshape(len(inner), -1)
    some = {name: values[:PARITY_WINDOWS] for name, values in tensors.items()}
    parity = gate.check_float(flat[:PARITY_WINDOWS], float_model, some)
    graph = gate.check_graph(int8_model)
    quantised = gate.logits(int8_model, tensors).reshape(wanted.shape)
    known = inner.labels != NONE
    temperature = calibrate.temperature(quantised[known], inner.labels[known].astype(np.int64))
    both = {"float": wanted, "int8": quantised}
    figures = {kind: summary(inner.labels, logits, plan) for kind, logits in both.items()}
    agreement = float((quantised.argmax(axis=2) == wanted.argmax(axis=2))[known].mean())
    gate.check_decisions(
        figures["float"]["macro_f1"], figures["int8"]["macro_f1"], agreement, gate.limits(trained.net)
    )
    print(f"gate passed: parity {parity:.1e}, equal decisions {agreement:.4f}")
    return manifest.Facts(
        temperature=temperature,
        thresholds={"apc": 0.5, "pvc": 0.5},
        parameters=sum(p.numel() for p in trained.net.parameters()),
        quantisation={"scheme": "int8 throughout, weights per channel, ranges by min and max", **graph},
        metrics={"float_parity": round(parity, 6), "decisions_equal": round(agreement, 4), "inner": figures},
    )


def described(plan: BeatRecipe) -> manifest.Described:
    """The model, as its recipe tells."""
    spec = plan.spec
    return manifest.Described(
        name=plan.name,
        task=plan.task,
        classes=list(CLASSES),
        words=WORDS,
        inputs={e["name"]: {key: e[key] for key in ("name", "kind", "clip")} for e in plan.inputs},
        outputs={"logits": "logits"},
        window={
            "rate_hz": spec.rate_hz,
            "beats": spec.beats,
            "emit": list(spec.emit),
            "before_s": spec.before_s,
            "after_s": spec.after_s,
            "template_beats": spec.template_beats,
            "rhythm_beats": spec.rhythm_beats,
        },
        preprocessing=plan.preprocessing,
        data=DATA,
        golden_s=GOLDEN_S,
    )


def look_once(path: Path, bundle: str, root: Path) -> dict[str, Any]:
    """Figures on DS2, beat by beat, for the table."""
    models = {
        "float": evaluate.float_model(path, root),
        "int8": evaluate.open_model(bundle, root),
    }
    names = mitdb.inter_patient_split(root)[1]
    out: dict[str, Any] = {"records": len(names)}
    for kind, model in models.items():
        out[kind] = report.figures(evaluate.evaluate(model, root, "test"))
        rows = out[kind][f"without_{evaluate.HARD}"]
        print(f"DS2 {kind:6} S F1 {rows['S']['f1']:.3f} without {evaluate.HARD}, V F1 {rows['V']['f1']:.3f}")
    return out
