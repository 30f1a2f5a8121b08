"""What do R peaks and P waves, and age and sex, add to EfficientECG's signal backbone?

Three nets, trained alike but for what is joined with the backbone (recipes efficientecg-s-plain,
efficientecg-s-rp, efficientecg-s-fused; no distillation), for each seed, weights of the last epoch:

* CinC 2017, 30-s windows, fitted on the 6300 records of the inner split and scored on its 700; the published
  validation records are not looked at. The set tells neither age nor sex, so that what the third net adds
  there is a pooling by attention.
* MIT-BIH Arrhythmia Database, inter-patient lists of de Chazal et al. (2004): fitted on DS1, scored on DS2,
  paced records in neither. Windows of 10 s every 5 s, called after their gravest beat in AAMI's classes: V
  before F before S before N (a window of unclassifiable beats alone is left out). Windows and not single
  beats, because the backbone pools over time and cannot say which beat is the central one. Record 202 (DS2)
  is of the person of record 201 (DS1): the figures stand with and without it. For the ablation alone;
  nothing that is fitted here ships.

Means and sample standard deviations are over the seeds. DS2 holds 22 persons: differences of a few hundredths
are within what another draw of persons would give.
"""

from __future__ import annotations

import dataclasses
import tempfile
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import report
from benchmarks.markdown import table
from ecgedge.datasets import cinc2017, mitdb
from ecgedge.datasets.archive import data_root
from ecgedge.datasets.record import Record, Subject
from ecgedge.errors import UsageError
from ecgedge.messages import Context, Person
from ecgedge.scoring.marks import AAMI
from ecgedge.training import checkpoint, metrics, run
from ecgedge.training import recipe as recipes
from ecgedge.training.data import (
    ConditionedSet,
    WindowDataset,
    condition,
    context_of,
    inner_split,
    load_cinc2017,
    within,
)
from ecgedge.training.recipe import Recipe

if TYPE_CHECKING:
    from ecgedge.messages import Signal32

QUESTION = "What do R peaks and P waves, and age and sex, add to EfficientECG's signal backbone?"
VARIANTS = {
    "backbone": "efficientecg-s-plain",
    "+ R peaks, P waves": "efficientecg-s-rp",
    "+ age, sex": "efficientecg-s-fused",
}
SETS = ("cinc2017", "mitdb")
AAMI_CLASSES = ("N", "S", "V", "F")
GRAVEST = ("V", "F", "S", "N")
WINDOW_S, STEP_S = 10.0, 5.0
SAME_PERSON = "202"

Sets = tuple[ConditionedSet, ConditionedSet]


def person_of(subject: Subject) -> Person:
    """Age and sex as the device takes them."""
    sex = {"F": "f", "M": "m"}.get(subject.sex or "")
    return Person(subject.age, sex)  # type: ignore[arg-type]  # one of the three


def window_label(symbols: Sequence[str]) -> int | None:
    """Class of a window from the codes of its beats; None where there is none that can be classified."""
    found = {AAMI[s] for s in symbols if s in AAMI}
    named = next((letter for letter in GRAVEST if letter in found), None)
    return None if named is None else AAMI_CLASSES.index(named)


def load_mitdb(root: Path, names: list[str], plan: Recipe) -> ConditionedSet:
    """All windows of the named recordings that have a class, each in the form of a short record."""
    out, contexts = ConditionedSet([], [], [], []), []
    for record in mitdb.records(root, names):
        for label, signal, context in windows_of(record, plan):
            out.names.append(record.name)
            out.signals.append(signal)
            out.labels.append(label)
            contexts.append(context)
    return dataclasses.replace(out, contexts=contexts)


def windows_of(record: Record, plan: Recipe) -> Iterator[tuple[int, Signal32, Context]]:
    """Class, conditioned signal, and beats and person of each window."""
    rate_hz = plan.preprocessing["rate_hz"]
    signal = condition(record.lead(), record.rate_hz, plan.preprocessing)
    whole = context_of(record.lead(), record.rate_hz, rate_hz, person_of(record.subject))
    marks = [(beat.sample / record.rate_hz, beat.symbol) for beat in record.beats()]
    for k in range(int((signal.size / rate_hz - WINDOW_S) // STEP_S) + 1):
        begin = k * STEP_S
        label = window_label([symbol for at, symbol in marks if begin <= at < begin + WINDOW_S])
        if label is not None:
            piece = signal[round(begin * rate_hz) : round((begin + WINDOW_S) * rate_hz)]
            yield label, piece, within(whole, begin, WINDOW_S)


def mitdb_plan(plan: Recipe) -> Recipe:
    """The recipe for windows of 10 s; its ``[data]`` says nothing, for records come in ``sets``."""
    window = dataclasses.replace(plan.window, length_s=WINDOW_S, hop_s=WINDOW_S)
    net = {**plan.net, "length": round(WINDOW_S * plan.preprocessing["rate_hz"])}
    return dataclasses.replace(plan, name="mitdb", window=window, net=net)


def weighted(plan: Recipe, labels: list[int]) -> Recipe:
    """With class weights of one over the root of each class's share, 1 for the most frequent."""
    counts = np.maximum(np.bincount(labels, minlength=len(AAMI_CLASSES)), 1)
    weights = np.round(np.sqrt(counts.max() / counts), 3).tolist()
    return dataclasses.replace(plan, optimiser=dataclasses.replace(plan.optimiser, class_weights=weights))


def sets_of(name: str, root: Path, limit: int | None) -> tuple[Sets, Recipe]:
    """Records to fit on and to score, with all that any of the nets takes, and a recipe of that set."""
    plan = recipes.load(VARIANTS["+ age, sex"])
    if name == "mitdb":
        plan = mitdb_plan(plan)
        fit, test = (load_mitdb(root, part[:limit], plan) for part in mitdb.inter_patient_split(root))
        return (fit, test), weighted(plan, fit.labels)
    names, _ = cinc2017.published_split(root)
    everything = load_cinc2017(root, names[:limit], plan)
    parts = inner_split(everything.names, everything.labels, plan.data.inner_share)
    return (everything.subset(parts[0]), everything.subset(parts[1])), plan


def variant(name: str, base: Recipe, seed: int, epochs: int) -> Recipe:
    """One net of the table: architecture and inputs of its recipe, all else of the set's one."""
    own = recipes.load(VARIANTS[name])
    return dataclasses.replace(
        base,
        name=f"{own.name}-{base.name}-{seed}",
        architecture=own.architecture,
        inputs=own.inputs,
        net={**own.net, "length": base.net["length"]},
        seed=seed,
        optimiser=dataclasses.replace(base.optimiser, epochs=epochs),
    )


def figures(reference: metrics.Labels, told: metrics.Labels, classes: Sequence[str]) -> report.Json:
    """Accuracy, macro F1, F1 by class and counts (row: reference)."""
    counts = metrics.confusion(reference, told, len(classes))
    f1 = metrics.f1_by_class(counts)
    return {
        "n": int(reference.size),
        "accuracy": round(float(np.diag(counts).sum() / counts.sum()), 4),
        "macro_f1": round(float(f1.mean()), 4),
        "f1": {c: round(float(v), 4) for c, v in zip(classes, f1, strict=True)},
        "confusion": counts.tolist(),
    }


def scored(path: Path, name: str, test: ConditionedSet) -> report.Json:
    """Figures of a trained net: over records (CinC 2017), or over windows, with and without 202."""
    trained = checkpoint.load(path)
    logits, label, record = run.window_logits(trained.net, WindowDataset(test, trained.recipe))
    if name == "cinc2017":
        told = metrics.mean_by_record(metrics.softmax(logits), record, len(test.names)).argmax(axis=1)
        return {"all": figures(np.array(test.labels), told, cinc2017.CLASSES)}
    told = logits.argmax(axis=1)
    other = np.array([test.names[k] != SAME_PERSON for k in record])
    return {
        "all": figures(label, told, AAMI_CLASSES),
        "without 202": figures(label[other], told[other], AAMI_CLASSES),
    }


def measure(root: Path, given: Namespace, work: Path) -> report.Json:
    """Train and score every net, for every set and seed."""
    out: report.Json = {}
    for name in (given.set,) if given.set else SETS:
        (fit, test), base = sets_of(name, root, given.records)
        rows: report.Json = {}
        for title in VARIANTS:
            runs = []
            for seed in range(1, given.seeds + 1):
                plan = variant(title, base, seed, given.epochs)
                path = run.fit(plan, root, work, given.threads, sets=(fit, test))
                runs.append({"seed": seed, **scored(path, name, test)})
                print(f"{name}, {title}, seed {seed}: macro F1 {runs[-1]['all']['macro_f1']:.3f}", flush=True)
            rows[title] = {"recipe": VARIANTS[title], "runs": runs}
        counts = [np.bincount(part.labels, minlength=4).tolist() for part in (fit, test)]
        weights = base.optimiser.class_weights
        out[name] = {"fitted_on": counts[0], "scored_on": counts[1], "weights": weights, "nets": rows}
    return out


def spread(values: list[float]) -> str:
    """Mean and sample standard deviation, or the one value there is."""
    return f"{mean(values):.3f} +/- {stdev(values):.3f}" if len(values) > 1 else f"{values[0]:.3f}"


def lines(measured: report.Json) -> list[str]:
    """The table in Markdown."""
    rows = []
    for name, part in measured.items():
        for title, row in part["nets"].items():
            for which in row["runs"][0]:
                if which == "seed":
                    continue
                found = [one[which] for one in row["runs"]]
                by_class = [f"{c} {mean(f['f1'][c] for f in found):.3f}" for c in found[0]["f1"]]
                cells = [spread([f[key] for f in found]) for key in ("macro_f1", "accuracy")]
                rows.append([f"{name}, {which}", title, str(len(found)), *cells, ", ".join(by_class)])
    return table(["set", "net", "seeds", "macro F1", "accuracy", "F1 by class"], rows)


def main() -> None:
    """Measure, write the result, print the table."""
    parser = report.options("ablation", QUESTION)
    parser.add_argument("--set", choices=SETS, help="this one alone")
    parser.add_argument("--seeds", type=int, default=1, help="runs of every net")
    parser.add_argument("--epochs", type=int, default=20, help="of every run")
    parser.add_argument("--threads", type=int, default=None, help="of torch")
    parser.add_argument("--records", type=int, metavar="N", help="only the first N records of each list")
    given = parser.parse_args()
    if min(given.seeds, given.epochs) < 1:
        raise UsageError(f"{given.seeds} seeds, {given.epochs} epochs", "1 or more of either")
    with tempfile.TemporaryDirectory() as work:
        measured = measure(data_root(given.root), given, Path(work))
    path = report.write(parser, given, QUESTION, {}, measured)
    print("\n".join(lines(measured)))
    print(f"{path.name} written")


if __name__ == "__main__":
    report.run(main)
