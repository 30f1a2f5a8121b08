"""How much of a rhythm model's score is the luck of its seed?

Checkpoints of one recipe, as ``ecgedge train RECIPE --seed N`` makes them (and, before that, what the recipe
starts from, with the same seed), are converted and judged as ``python -m export`` does, whether or not its
gate lets them pass. The shipped bundle stands beside them with what its own export found. The published
validation records are looked at once for each seed, all of them together being one look; which net ships is
up to the inner records.
"""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import numpy as np

from benchmarks import report
from benchmarks.markdown import interval, prose, source, table
from ecgedge.bundle import open_bundle
from ecgedge.datasets.archive import data_root
from ecgedge.training import checkpoint as checkpoints
from ecgedge.training import recipe as recipes
from ecgedge.training.data import calibration_windows
from ecgedge.training.run import training_sets
from export import calibrate, gate, rhythm
from export.convert import convert

QUESTION = "How much of a rhythm model's score is the luck of its seed?"
PARTS = {"inner": "700 inner validation records", "validation": "1528 validation records"}
KINDS = ("float", "int8")
HEADLINE = {"macro_f1": "macro F1", "accuracy": "accuracy"}


def judged(checkpoint: Path, root: Path) -> report.Json:
    """What the exporter finds out about a checkpoint; also of one that its gate refuses, and then why."""
    trained = checkpoints.load(checkpoint)
    fit, inner_records = training_sets(root, trained.recipe)
    inner = rhythm.score(trained, inner_records)
    windows = rhythm.stacked(calibration_windows(fit, trained.recipe), trained.recipe)
    float_model, int8_model = convert(trained.net, windows, trained.recipe.ranges)
    logits = gate.logits(int8_model, inner.windows)
    temperature = calibrate.temperature(logits, inner.label)
    refused = {}
    try:
        rhythm.pass_gate(trained, inner, float_model, int8_model)
    except gate.GateError as error:
        refused = {"refused": str(error)}
    equal = float((logits.argmax(axis=1) == inner.logits.argmax(axis=1)).mean())
    return refused | {
        "decisions_equal": round(equal, 4),
        "inner": {
            kind: inner.summary(said, temperature)
            for kind, said in (("float", inner.logits), ("int8", logits))
        },
        "validation": rhythm.look_once(trained, int8_model, root, temperature),
    }


def shipped(name: str) -> report.Json:
    """The same of a bundle, as its manifest has it."""
    found = open_bundle(name).manifest["metrics"]
    return {"decisions_equal": found["decisions_equal"], **{part: found[part] for part in PARTS}}


def measure(root: Path, given: Namespace) -> report.Json:
    """All seeds, and their spread."""
    plan = recipes.load(given.recipe)
    runs = [{"seed": plan.seed, "ships": True, **shipped(plan.name)}]
    for seed in sorted({*given.seeds} - {plan.seed}):
        checkpoint = given.runs / f"{plan.name}-seed{seed}.pt"
        runs.append({"seed": seed, "ships": False, **judged(checkpoint, root)})
    return {"recipe": plan.name, "seeds": runs, "spread": spread(runs)}


def spread(runs: list[report.Json]) -> report.Json:
    """Mean and sample standard deviation over the seeds, by part, kind and figure."""
    out: report.Json = {}
    for part in PARTS:
        for kind in KINDS:
            for key in HEADLINE:
                values = [one[part][kind][key] for one in runs]
                sd = round(float(np.std(values, ddof=1)), 4) if len(values) > 1 else None
                row = {"mean": round(float(np.mean(values)), 4), "sd": sd}
                out.setdefault(part, {}).setdefault(kind, {})[key] = row
    return out


def lines(result: report.Json) -> list[str]:
    """The table in Markdown."""
    found = result["figures"]
    runs = found["seeds"]
    rows = []
    for part, words in PARTS.items():
        for key, figure in HEADLINE.items():
            cells = [interval(one[part]["int8"], key) for one in runs]
            means = [_mean(found["spread"][part][kind][key]) for kind in ("int8", "float")]
            rows.append([f"{words}, {figure}", *cells, *means])
    equal = [f"{100 * one['decisions_equal']:.1f} %" for one in runs]
    rows.append(["decisions as the float net's", *equal, "", ""])
    heads = [f"seed {one['seed']}{' (ships)' if one['ships'] else ''}" for one in runs]
    refused = [f"seed {one['seed']} ({one['refused']})" for one in runs if "refused" in one]
    text = (
        f"`{found['recipe']}`, the whole recipe with {len(runs)} seeds, as int8 by the exporter. ± "
        "is the sample standard deviation over the seeds. Brackets: 95 % bootstrap interval over records. "
        "The inner records choose which one ships; the validation records were looked at once for all seeds."
    )
    if refused:
        text += f" The exporter's gate would not have let go: {'; '.join(refused)}."
    columns = ["", *heads, "mean, int8", "mean, float"]
    return [*prose(text), "", *table(columns, rows), "", *source(result)]


def _mean(said: report.Json) -> str:
    return f"{said['mean']:.3f}" + ("" if said["sd"] is None else f" ± {said['sd']:.3f}")


def main() -> None:
    """Measure, write the result, print the table."""
    parser = report.options("seeds", QUESTION)
    parser.add_argument("--recipe", default="efficientecg-s", help="of a rhythm model that ships")
    parser.add_argument("--seeds", type=int, nargs="+", default=[5, 7], help="beside the shipped one's")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of the checkpoints")
    given = parser.parse_args()
    figures = measure(data_root(given.root), given)
    path = report.write(parser, given, QUESTION, report.model_facts([given.recipe]), figures)
    print("\n".join(lines(report.read(path.stem, given.out))))
    print(f"{path.name} written")


if __name__ == "__main__":
    report.run(main)
