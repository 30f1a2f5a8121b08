"""What R peaks and P waves, and age and sex, add to EfficientECG's signal backbone.

Three nets, trained alike but for what is joined with the backbone (recipes efficientecg-s-plain,
efficientecg-s-rp, efficientecg-s-fused; no distillation), on a share of the fitting records and for few
epochs: differences within the table count, not its level.

* CinC 2017, 30-s windows, fitted on records of the inner split and scored on its 700; the published
  validation records are not looked at. The set tells neither age nor sex, so that what the third net adds
  there is a pooling by attention.
* MIT-BIH Arrhythmia Database, inter-patient lists of de Chazal et al. (2004): fitted on DS1, scored on DS2,
  paced records in neither. Windows of 10 s every 5 s, called after their gravest beat in AAMI's classes: V
  before F before S before N (a window of unclassifiable beats alone is left out). Windows and not single
  beats, because the backbone pools over time and cannot say which beat is the central one. Record 202 (DS2)
  is of the person of record 201 (DS1): the figures stand with and without it. For the ablation alone;
  nothing that is fitted here ships.

Intervals are by bootstrap over records, on MIT-BIH with all windows of a record drawn together: DS2 holds 22.
"""

from __future__ import annotations

import dataclasses
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import report
from benchmarks.ablation_dualnet import check, mean, told
from benchmarks.markdown import prose, source, table
from ecgedge.datasets import cinc2017, mitdb
from ecgedge.datasets.record import Record, Subject
from ecgedge.messages import Context, Person
from ecgedge.scoring.marks import AAMI
from ecgedge.training import metrics, run
from ecgedge.training import recipe as recipes
from ecgedge.training.data import (
    ConditionedSet,
    condition,
    context_of,
    within,
)
from ecgedge.training.recipe import Recipe
from ecgedge.training.trainer import Machine

if TYPE_CHECKING:
    from ecgedge.messages import Signal32

QUESTION = "What do R peaks and P waves, and age and sex, add to EfficientECG's signal backbone?"
VARIANTS = {
    "backbone": "efficientecg-s-plain",
    "+ R peaks, P waves": "efficientecg-s-rp",
    "+ age, sex": "efficientecg-s-fused",
}
SETS = {
    "cinc2017": "CinC 2017, inner validation records",
    "mitdb": "MIT-BIH, windows of 10 s of DS2",
}
AAMI_CLASSES = ("N", "S", "V", "F")
GRAVEST = ("V", "F", "S", "N")
WINDOW_S, STEP_S = 10.0, 5.0
SAME_PERSON = "202"
EMA_DECAY = 0.98
"""In place of the recipes': a short run's mean must forget its first steps sooner."""


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


@dataclasses.dataclass(frozen=True)
class Question:
    """A set, and a recipe for it that takes all that any of the nets takes."""

    plan: Recipe
    classes: tuple[str, ...]
    fit: ConditionedSet
    test: ConditionedSet
    groups: metrics.Labels | None
    """Which record each window is of, from 0; None where they are records."""


def ask(name: str, root: Path, every: int, limit: int | None = None) -> Question:
    """Read a set; every so-many record or window is fitted on."""
    plan = recipes.load(VARIANTS["+ age, sex"])
    if name == "cinc2017":
        fit, test = run.training_sets(root, plan)
        return Question(plan, cinc2017.CLASSES, thinned(fit, every), test, None)
    plan = mitdb_plan(plan)
    fit, test = (load_mitdb(root, part[:limit], plan) for part in mitdb.inter_patient_split(root))
    fit = thinned(fit, every)
    groups = np.unique(test.names, return_inverse=True)[1]
    return Question(weighted(plan, fit.labels), AAMI_CLASSES, fit, test, groups)


def thinned(records: ConditionedSet, every: int) -> ConditionedSet:
    """Every so-many of the records."""
    assert records.contexts is not None, "the recipe takes beats"
    names, signals, labels = records.names[::every], records.signals[::every], records.labels[::every]
    return ConditionedSet(names, signals, labels, records.contexts[::every])


def variant(title: str, base: Recipe, seed: int, epochs: int) -> Recipe:
    """One net of the table: architecture and inputs of its recipe, all else of the set's one."""
    own = recipes.load(VARIANTS[title])
    return dataclasses.replace(
        base,
        name=f"{own.name}-{base.name}-{seed}",
        architecture=own.architecture,
        inputs=own.inputs,
        net={**own.net, "length": base.net["length"]},
        seed=seed,
        optimiser=dataclasses.replace(base.optimiser, epochs=epochs, ema_decay=EMA_DECAY),
    )


def scored(asked: Question, decided: metrics.Labels, backbone: metrics.Labels) -> report.Json:
    """Figures, the gain over the backbone, and on MIT-BIH the same without record 202."""
    labels, rows = np.array(asked.test.labels), {"all": np.ones(len(decided), dtype=bool)}
    if asked.groups is not None:
        rows["without 202"] = np.array([name != SAME_PERSON for name in asked.test.names])
    out: report.Json = {}
    for title, kept in rows.items():
        groups = None if asked.groups is None else np.unique(asked.groups[kept], return_inverse=True)[1]
        facts = asked.classes, 2000, groups
        out[title] = metrics.summary(labels[kept], decided[kept], *facts)
        out[title]["gain"] = metrics.difference(labels[kept], backbone[kept], decided[kept], *facts)
    return out


def measure(root: Path, given: Namespace, work: Path) -> report.Json:
    """Train and score every net, for every set and seed."""
    out: report.Json = {}
    for name in (given.set,) if given.set else SETS:
        asked = ask(name, root, given.every, given.records)
        nets: report.Json = {}
        backbone: dict[int, metrics.Labels] = {}
        for title in VARIANTS:
            runs = []
            for seed in range(1, given.seeds + 1):
                plan = variant(title, asked.plan, seed, given.epochs)
                path = run.fit(plan, root, work, Machine(given.threads), sets=(asked.fit, asked.test))
                decided, parameters = told(path, asked.test)
                first = backbone.setdefault(seed, decided)
                runs.append({"seed": seed, **scored(asked, decided, first)})
                print(f"{name}, {title}, seed {seed}: macro F1 {runs[-1]['all']['macro_f1']:.3f}", flush=True)
            nets[title] = {"recipe": VARIANTS[title], "parameters": parameters, "runs": runs}
        counts = [np.bincount(part.labels, minlength=4).tolist() for part in (asked.fit, asked.test)]
        out[name] = {
            "classes": list(asked.classes),
            "fitted_on": counts[0],
            "scored_on": counts[1],
            "weights": asked.plan.optimiser.class_weights,
            "epochs": given.epochs,
            "nets": nets,
        }
    return out


def rows_of(name: str, part: report.Json) -> Iterator[list[str]]:
    """The rows of one set, with and without record 202."""
    for which in [key for key in next(iter(part["nets"].values()))["runs"][0] if key != "seed"]:
        words = f"{SETS[name]}{'' if which == 'all' else f', {which}'}"
        for title, net in part["nets"].items():
            found = [one[which] for one in net["runs"]]
            gain = "-" if title == next(iter(VARIANTS)) else mean([f["gain"] for f in found], "macro_f1")
            by_class = [f"{c} {np.mean([f['f1'][c] for f in found]):.2f}" for c in part["classes"]]
            cells = [mean(found, "macro_f1"), gain, ", ".join(by_class)]
            yield [words, title, f"{net['parameters']:,}", *cells]


def lines(result: report.Json) -> list[str]:
    """The table in Markdown."""
    figures = result["figures"]
    budgets = [
        f"{SETS[name]}: {part['epochs']} epochs on {sum(part['fitted_on'])}, scored on "
        f"{sum(part['scored_on'])}"
        for name, part in figures.items()
    ]
    seeds = len(next(iter(next(iter(figures.values()))["nets"].values()))["runs"])
    text = (
        "EfficientECG at the width of `efficientecg-s`, without distillation, "
        f"{seeds} {'seed' if seeds == 1 else 'seeds'}, a small budget and the same for all. "
        f"{'; '.join(budgets)}. CinC 2017 tells neither age nor sex. Brackets: 95 % bootstrap intervals over "
        "records, of the gain in pairs."
    )
    heads = ["set", "net", "parameters", "macro F1", "gain in macro F1 over the backbone", "F1 by class"]
    rows = [row for name, part in figures.items() for row in rows_of(name, part)]
    return [*prose(text), "", *table(heads, rows), "", *source(result)]


def main() -> None:
    """Measure, write the result, print the table."""
    parser = report.options("ablation_efficientecg", QUESTION)
    parser.add_argument("--set", choices=SETS, help="this one alone")
    parser.add_argument("--seeds", type=int, default=1, help="runs of every net")
    parser.add_argument("--epochs", type=int, default=8, help="of every run")
    parser.add_argument("--every", type=int, default=2, metavar="N", help="fit on every Nth record or window")
    parser.add_argument("--threads", type=int, default=None, help="of torch")
    parser.add_argument("--records", type=int, metavar="N", help="the first N records of DS1 and DS2")
    given = parser.parse_args()
    check(given)
    report.trained(parser, given, QUESTION, measure, lines)


if __name__ == "__main__":
    report.run(main)
