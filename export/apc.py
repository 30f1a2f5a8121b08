"""A model of windows with a premature atrial beat, from checkpoint to bundle: every step in its order.

The gate looks at the inner records of DS1. DS2 is looked at once, after the gate has passed, for the table in
the manifest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from ecgedge.errors import UsageError
from ecgedge.training import checkpoint, metrics
from ecgedge.training.apc import evaluate
from ecgedge.training.apc import recipe as recipes
from ecgedge.training.apc.data import scorable
from ecgedge.training.apc.sets import load_mitdb, training_lists
from export import calibrate, gate, manifest
from export.convert import convert, shipped

if TYPE_CHECKING:
    from pathlib import Path

    from ecgedge.training.apc.data import Scorable

CALIBRATION_WINDOWS = 512
PARITY_WINDOWS = 64
WORDS = {"none": "no APC", "APC": "APC"}
DATA = {
    "set": "MIT-BIH Arrhythmia Database, DS1, first lead; waves of LUDB, lead II; PhysioNet/CinC Challenge "
    "2017 training records of normal rhythm and AF, early beats being made in the former",
    "licence": "ODC-BY 1.0",
    "attribution": "Moody and Mark, The impact of the MIT-BIH Arrhythmia Database, IEEE Eng. in Med. and "
    "Biol. 20(3), 2001; Kalyakulina et al., LUDB, IEEE Access 8, 2020; Clifford et al., CinC 2017; "
    "Goldberger et al., PhysioNet, 2000",
    "labels": "APC where a beat A, a, J or S lies in the window, 0.3 s or more from its edges",
    "split": "inter-patient after de Chazal et al. 2004: DS1 for training and choice, DS2 for the table",
}

Floats = npt.NDArray[np.float64]
Outputs = dict[str, Floats]


def export(path: Path, root: Path, out: Path) -> None:
    """Run all steps for one model; see ``export.__main__.TASKS``."""
    trained = checkpoint.load_as(path, recipes.from_table)
    plan, net = trained.recipe, trained.net
    if plan.data.set != evaluate.SET or plan.architecture != "danet":
        raise UsageError(
            f"{path.name} is a {plan.architecture} of {plan.data.set}", "a danet of windows with an APC"
        )
    fit_names, inner_names = training_lists(root, plan)
    fit, inner = (scorable(load_mitdb(root, names, plan), plan) for names in (fit_names, inner_names))
    calibration = {"signal": _rows(fit)[:: max(1, len(fit.names) // CALIBRATION_WINDOWS)]}
    float_model, int8_model = convert(net, calibration)
    facts = pass_gate(net, plan, inner, float_model, int8_model)
    lean = shipped(int8_model, facts, plan.name, calibration)
    test = evaluate.windows_of(root, plan, "test")
    given = {"float": _of_torch(net, test), "int8": _of_tflite(lean, net, test)}
    facts.metrics["test"] = {kind: _figures(test, rows, facts, plan) for kind, rows in given.items()}
    made = manifest.make(described(plan), lean, facts)
    manifest.write(made, out)
    for part in ("inner", "test"):
        for kind, row in facts.metrics[part].items():
            headline = row.get(f"without_{evaluate.HARD}", row["all"])
            print(f"{part:6} {kind:6} {headline}")
    print(f"bundle written: {made.name}, {len(lean)} bytes, in {out}")


def pass_gate(
    net: torch.nn.Module, plan: recipes.ApcRecipe, inner: Scorable, float_model: bytes, int8_model: bytes
) -> manifest.Facts:
    """Check the models on the inner records; returns what was found out on the way.

    Raises
    ------
    GateError
        If the model must not ship.
    """
    original = _of_torch(net, inner)
    some = {"signal": _rows(inner)[:PARITY_WINDOWS]}
    parity = gate.check_outputs(
        {name: rows[:PARITY_WINDOWS] for name, rows in original.items()},
        gate.outputs(float_model, some, list(original)),
    )
    graph = gate.check_graph(int8_model)
    quantised = _of_tflite(int8_model, net, inner)
    temperature = calibrate.temperature(quantised["logits"], inner.labels)
    told = metrics.softmax(quantised["logits"] / temperature)[:, 1]
    facts = manifest.Facts(
        temperature=temperature,
        thresholds={"apc": calibrate.plateau(told, inner.labels == 1)},
        parameters=sum(p.numel() for p in net.parameters()),
        quantisation={"scheme": "int8 throughout, weights per channel, ranges by min and max", **graph},
        metrics={},
    )
    by_kind = (("float", original), ("int8", quantised))
    figures = {kind: _figures(inner, rows, facts, plan) for kind, rows in by_kind}
    same = np.equal(*(_called(rows["logits"], facts) for _, rows in by_kind))
    agreement = float(same.mean())
    f1 = {kind: row["all"]["f1"] for kind, row in figures.items()}
    gate.check_decisions(f1["float"], f1["int8"], agreement, gate.limits(net))
    off = np.abs(original["attention"] - quantised["attention"])
    error = {"mean": off.mean(), "p99": np.quantile(off, 0.99)}
    facts.metrics |= {
        "float_parity": {name: round(error, 6) for name, error in parity.items()},
        "decisions_equal": round(agreement, 4),
        "attention_error": {name: round(float(value), 4) for name, value in error.items()},
        "inner": figures,
    }
    print(f"gate passed: parity {parity}, equal decisions {agreement:.4f}")
    return facts


def described(plan: recipes.ApcRecipe) -> manifest.Described:
    """The bundle, as the recipe tells."""
    window = plan.window
    entry = {"name": "signal", "kind": "signal", "clip": window.clip, "padding": "zeros-right"}
    return manifest.Described(
        name=plan.name,
        task=plan.task,
        classes=list(plan.classes),
        words=WORDS,
        inputs={"signal": entry},
        outputs={"logits": "logits", "attention": "attention"},
        window={
            "rate_hz": plan.spec.rate_hz,
            "length_s": window.length_s,
            "hop_s": window.hop_s,
            "minimum_s": window.minimum_s,
        },
        preprocessing=plan.preprocessing,
        data=DATA,
        golden_s=window.length_s + 1.0,
    )


def _rows(windows: Scorable) -> npt.NDArray[np.float32]:
    """Signals as the gate and the converter take them, (n, 1, length)."""
    return windows.signals[:, None, :]


def _of_torch(net: torch.nn.Module, windows: Scorable) -> Outputs:
    """Logits (n, 2) and attention (n, length) of the float net."""
    parts = []
    with torch.no_grad():
        for first in range(0, len(windows.names), 64):
            parts.append(net(torch.from_numpy(_rows(windows)[first : first + 64, None])))
    columns = zip(net.outputs, zip(*parts, strict=True), strict=True)  # type: ignore[arg-type]
    return {name: torch.cat(column).double().numpy() for name, column in columns}


def _of_tflite(model: bytes, net: torch.nn.Module, windows: Scorable) -> Outputs:
    return gate.outputs(model, {"signal": _rows(windows)}, list(net.outputs))  # type: ignore[arg-type]


def _called(logits: Floats, facts: manifest.Facts) -> npt.NDArray[np.bool_]:
    """Which windows are called, as on the device."""
    called: npt.NDArray[np.bool_] = (
        metrics.softmax(logits / facts.temperature)[:, 1] >= facts.thresholds["apc"]
    )
    return called


def _figures(
    windows: Scorable, rows: Outputs, facts: manifest.Facts, plan: recipes.ApcRecipe
) -> dict[str, Any]:
    called = facts.thresholds["apc"]
    threshold = facts.temperature * float(np.log(called / (1 - called)))
    log_odds = rows["logits"][:, 1] - rows["logits"][:, 0]
    return evaluate.tables(windows, log_odds, threshold, plan.window.hop_s)
