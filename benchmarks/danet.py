"""What is attention to waves worth in finding premature atrial beats, and where does it look?

Nets trained alike on windows of MIT-BIH's DS1 (recipes danet, danet-h, danet-cnn), with a classifier of one
size, scored on DS2, first lead, windows of 10 s every 5 s as the stream cuts them:

* DANet: attention that was learnt first from delineated waves, then end to end;
* the same before its last step, that is with the attention as it was learnt from the waves;
* DANet-h: attention made of delineated waves, around the annotators' beats also on DS2, where a device would
  have to find them;
* the plain CNN: no attention.

Thresholds are those that find a stated share of DS1's inner windows with a premature atrial beat. Record 232
holds three in four of DS2's such beats: the headline leaves it out. Intervals are 95 %, by bootstrap over
records; means and sample standard deviations are over seeds. The shipped bundle, at the threshold of its
manifest, stands beside, with every record.

DS2 was looked at once when the bundle was exported, and then for this table; nothing was chosen by it.

Where it looks: mean attention in the P waves, QRS complexes and T waves that the annotators of LUDB marked in
lead II of records that the weigher did not learn from, after the first step, at the end, and of the same net
trained for AF on CinC 2017 (recipe danet-af); and, on DS2, just before premature atrial beats and before
ordinary ones.
"""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks import report
from benchmarks.markdown import prose, share, source, table
from ecgedge.datasets import ludb, mitdb
from ecgedge.datasets.archive import data_root
from ecgedge.errors import UsageError
from ecgedge.features import normalise
from ecgedge.training import checkpoint
from ecgedge.training.apc import evaluate, run
from ecgedge.training.apc import recipe as recipes
from ecgedge.training.apc.data import scorable
from ecgedge.training.apc.figures import summary, threshold_at
from ecgedge.training.apc.sets import (
    LUDB_LEAD,
    ORDINARY,
    PREMATURE_ATRIAL,
    Sets,
    load_cinc2017,
    load_sets,
    training_lists,
)
from ecgedge.training.apc.waves import KINDS, marked
from ecgedge.training.data import condition, record_windows
from ecgedge.training.trainer import Machine

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from torch import nn

    from ecgedge.messages import Floats, Signal32
    from ecgedge.training.apc.data import Scorable
    from ecgedge.training.apc.recipe import ApcRecipe

QUESTION = "What is attention to waves worth in finding premature atrial beats, and where does it look?"
BUNDLE = "danet"
NETS = {"DANet": "danet", "DANet-h": "danet-h", "plain CNN": "danet-cnn"}
BEFORE_LAST = "DANet, not end to end"
ATRIAL_FIBRILLATION = "danet-af"
SENSITIVITIES = (0.8, 0.9)
SEEDS = 3
BEFORE_S = (0.26, 0.06)
"""Before an R peak: where its P wave is to be expected."""
AF_RHYTHM, SINUS = "Atrial fibrillation", "Sinus"
HEADLINE = f"without_{evaluate.HARD}"


def seeded(plan: ApcRecipe, seed: int) -> ApcRecipe:
    """The recipe with another seed; its own one keeps its name, so that it is the shipped run."""
    return plan if seed == plan.seed else dataclasses.replace(plan, name=f"{plan.name}-seed{seed}", seed=seed)


class Runs:
    """Trained nets, kept in a folder; what is whole there is not trained again."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root, self.folder = root, folder
        self._sets: dict[tuple[str, str], Sets] = {}

    def checkpoint(self, plan: ApcRecipe) -> Path:
        """The checkpoint of a recipe."""
        path = self.folder / f"{plan.name}.pt"
        if not path.is_file() or checkpoint.load_as(path, recipes.from_table).recipe != plan:
            run.fit(plan, self.root, self.folder, Machine(threads=1), sets=self._loaded(plan))
        return path

    def nets(self, plan: ApcRecipe) -> Iterator[nn.Module]:
        """The net after each step."""
        self.checkpoint(plan)
        for number in range(len(plan.steps)):
            path = self.folder / plan.name / f"step-{number + 1}.pt"
            yield checkpoint.load_as(path, recipes.from_table).net

    def _loaded(self, plan: ApcRecipe) -> Sets:
        # The plain CNN learns from the very recordings of DANet.
        kind = "danet-h" if plan.architecture == "danet-h" else "danet"
        key = (kind, plan.data.set)
        if key not in self._sets:
            wanted = recipes.load("danet") if plan.architecture == "danet-cnn" else plan
            self._sets[key] = load_sets(self.root, wanted, self.folder / "waves")
        return self._sets[key]


def nets_of(runs: Runs, title: str, plan: ApcRecipe) -> dict[str, nn.Module]:
    """The trained net, and of DANet the one before the last step as well, by the titles of the table."""
    after = list(runs.nets(plan))
    return {title: after[-1], BEFORE_LAST: after[-2]} if title == "DANet" else {title: after[-1]}


def scored(net: nn.Module, inner: Scorable, test: Scorable, hop_s: float) -> report.Json:
    """Figures of one trained net."""
    on_inner, on_test = run.scores(net, inner), run.scores(net, test)
    rest = np.array(test.names) != evaluate.HARD
    names = np.array(test.names)
    out: report.Json = {
        "inner": summary(inner.labels, on_inner, inner.names),
        "test": {
            HEADLINE: summary(test.labels[rest], on_test[rest], names[rest].tolist()),
            "all": summary(test.labels, on_test, test.names),
        },
    }
    for sensitivity in SENSITIVITIES:
        threshold = threshold_at(inner.labels, on_inner, sensitivity)
        tables = evaluate.tables(test, on_test, threshold, hop_s, areas=False)
        del tables["records"]
        out[f"at_{sensitivity}"] = {"threshold_log_odds": round(threshold, 4), **tables}
    return out


def compared(runs: Runs, seeds: int) -> report.Json:
    """Every net and seed."""
    rows: dict[str, report.Json] = {}
    for title, name in NETS.items():
        plan = recipes.load(name)
        waves = runs.folder / "waves"
        inner, test = (evaluate.windows_of(runs.root, plan, split, waves) for split in evaluate.SPLITS)
        for seed in range(1, seeds + 1):
            for row, net in nets_of(runs, title, seeded(plan, seed)).items():
                figures = scored(net, inner, test, plan.window.hop_s)
                parameters = sum(p.numel() for p in net.parameters())
                rows.setdefault(row, {"recipe": name, "parameters": parameters, "runs": []})
                rows[row]["runs"].append({"seed": seed, **figures})
                said = figures["test"][HEADLINE]["average_precision"]
                print(f"{row}, seed {seed}: area under precision-recall {said:.3f}", flush=True)
    return rows


def shipped(root: Path) -> report.Json:
    """The bundle on the device's interpreter, at the threshold of its manifest."""
    model = evaluate.open_model(BUNDLE)
    assert model.threshold is not None
    test = evaluate.windows_of(root, model.plan, "test")
    return evaluate.tables(test, model.log_odds(test), model.threshold, model.plan.window.hop_s)


def attention_of(net: nn.Module, signal: Signal32, plan: ApcRecipe) -> Floats:
    """Weights of a window, shape (n,), as of the device's normalisation."""
    given = torch.from_numpy(normalise(signal, plan.window.clip))[None, None, None]
    with torch.no_grad():
        weights: Any = net.weigher(given).sigmoid()  # type: ignore[operator]
    return np.asarray(weights.flatten().numpy(), dtype=np.float64)


def in_waves(root: Path, nets: dict[str, nn.Module], plan: ApcRecipe) -> report.Json:
    """Mean attention in LUDB's marked waves, by net, in sinus rhythm and in AF; mean over records."""
    sums: dict[tuple[str, str], list[dict[str, float]]] = {}
    for number, record in enumerate(ludb.records(root, (LUDB_LEAD,))):
        if number % run.LUDB_INNER:
            continue  # the weigher learnt from it
        waves = marked(record.annotations[LUDB_LEAD], record.rate_hz)
        rhythm = " ".join(record.labels["rhythm"])
        group = "AF" if AF_RHYTHM in rhythm else "sinus" if rhythm.startswith(SINUS) else None
        if not waves or group is None:
            continue
        signal = condition(record.lead(LUDB_LEAD), record.rate_hz, plan.preprocessing)[: plan.length]
        at = np.arange(signal.size) / plan.spec.rate_hz
        within = {
            kind: np.any([(at >= w.onset_s) & (at <= w.end_s) for w in waves if w.kind == kind], axis=0)
            for kind in KINDS
            if any(w.kind == kind for w in waves)
        }
        told = (at >= waves[0].onset_s) & (at <= waves[-1].end_s)
        within["elsewhere"] = told & ~np.any(list(within.values()), axis=0)
        for title, net in nets.items():
            weights = attention_of(net, signal, plan)
            row = {kind: float(weights[mask].mean()) for kind, mask in within.items() if mask.any()}
            sums.setdefault((group, title), []).append(row)
    out: report.Json = {}
    for (group, title), rows in sums.items():
        by_kind = {kind: [row[kind] for row in rows if kind in row] for kind in (*KINDS, "elsewhere")}
        means = {kind: round(mean(values), 4) for kind, values in by_kind.items() if values}
        out.setdefault(group, {"records": len(rows)})[title] = means
    return out


def before_beats(root: Path, nets: dict[str, nn.Module], plan: ApcRecipe) -> report.Json:
    """Mean attention where the P wave is expected, before premature atrial and ordinary beats of DS2."""
    sums: dict[str, dict[str, list[float]]] = {title: {"early": [], "ordinary": []} for title in nets}
    names = [name for name in mitdb.inter_patient_split(root)[1] if name != evaluate.HARD]
    rate = plan.spec.rate_hz
    for record in mitdb.records(root, names):
        beats = [(b.sample / record.rate_hz, b.symbol) for b in record.beats()]
        if not any(symbol in PREMATURE_ATRIAL for _, symbol in beats):
            continue
        signal = condition(record.lead(), record.rate_hz, plan.preprocessing)
        for window in record_windows(signal, plan.spec)[::2]:
            inside = [
                (at - window.time_s, symbol)
                for at, symbol in beats
                if 1.0 <= at - window.time_s < window.seconds - 0.3
            ]
            if not any(symbol in PREMATURE_ATRIAL for _, symbol in inside):
                continue
            for title, net in nets.items():
                weights = attention_of(net, window.signal, plan)
                for at, symbol in inside:
                    kind = "early" if symbol in PREMATURE_ATRIAL else "ordinary"
                    if kind == "early" or symbol in ORDINARY:
                        first, last = (round((at - before) * rate) for before in BEFORE_S)
                        sums[title][kind].append(float(weights[first:last].mean()))
    return {
        title: {kind: {"beats": len(v), "attention": round(mean(v), 4)} for kind, v in row.items()}
        for title, row in sums.items()
    }


def fibrillation(runs: Runs, net: nn.Module, plan: ApcRecipe) -> report.Json:
    """How well the net trained for AF tells it, on the inner records of its training list."""
    _, inner = training_lists(runs.root, plan)
    windows = scorable(load_cinc2017(runs.root, inner, plan, "NAO", "A"), plan)
    scores = run.scores(net, windows)
    return summary(windows.labels, scores, windows.names)


def looked_at(runs: Runs) -> report.Json:
    """Where the nets look."""
    plan, other = recipes.load("danet"), recipes.load(ATRIAL_FIBRILLATION)
    after, after_other = list(runs.nets(plan)), list(runs.nets(other))
    nets = {"learnt from waves": after[0], "APC": after[-1], "AF": after_other[-1]}
    return {
        "lead": LUDB_LEAD,
        "manual": {kind: getattr(plan.attention, kind.lower()) for kind in KINDS}
        | {"elsewhere": plan.attention.elsewhere},
        "ludb": in_waves(runs.root, nets, plan),
        "mitdb_ds2": before_beats(runs.root, nets, plan),
        "af_net": fibrillation(runs, after_other[-1], other),
    }


def spread(values: list[float]) -> str:
    """Mean and sample standard deviation, or the one value there is."""
    return f"{mean(values):.3f} ± {stdev(values):.3f}" if len(values) > 1 else f"{values[0]:.3f}"


def lines(result: report.Json) -> list[str]:
    """README's tables."""
    figures = result["figures"]
    rows = []
    for title, row in figures["nets"].items():
        runs, at = row["runs"], [one[f"at_{SENSITIVITIES[0]}"] for one in row["runs"]]
        cells = [[one["test"][part]["average_precision"] for one in runs] for part in (HEADLINE, "all")]
        cells += [[one[HEADLINE][key] for one in at] for key in ("sensitivity", "specificity")]
        free = mean(one["free"]["false_windows_per_hour"] for one in at)
        rows.append([title, f"{row['parameters'] / 1000:.0f} k", *map(spread, cells), f"{free:.0f}"])
    heads = ["net", "parameters", "area under PR, without 232", "with 232", "sensitivity", "specificity"]
    out = table([*heads, "windows called an hour where there is no APC"], rows)
    bundle, seeds = figures["bundle"], max(len(row["runs"]) for row in figures["nets"].values())
    head, low_high = bundle[HEADLINE], bundle[HEADLINE]["average_precision_interval"]
    out += ["", *prose(
        f"Windows of 10 s of MIT-BIH's DS2, {head['positive']} of {head['windows']} with a premature atrial "
        f"beat without record 232; mean ± standard deviation over {seeds} seeds. Thresholds find "
        f"{100 * SENSITIVITIES[0]:.0f} % of the inner windows of DS1 that hold one. The "
        f"shipped int8 bundle, at its own threshold: area {head['average_precision']:.3f} "
        f"({low_high[0]:.2f} to {low_high[1]:.2f}), sensitivity {share(head['sensitivity'])}, specificity "
        f"{share(head['specificity'])}, +P {share(head['precision'])}; with 232: sensitivity "
        f"{share(bundle['all']['sensitivity'])}; {bundle['free']['false_windows_per_hour']:.0f} windows an "
        f"hour called in {len(bundle['free']['records'])} records without such a beat "
        f"({', '.join(bundle['free']['records'])})."
    ), "", *where(figures["attention"]), "", *source(result)]  # fmt: skip
    return out


def where(attention: report.Json) -> list[str]:
    """The table of where the nets look."""
    rows = []
    for group, row in attention["ludb"].items():
        for title in (t for t in row if t != "records"):
            means = [share(row[title].get(kind), 2) for kind in (*KINDS, "elsewhere")]
            rows.append([f"{group}, {row['records']} records", title, *means])
    heads = ["LUDB, lead II", "net", "P wave", "QRS", "T wave", "elsewhere"]
    return table(heads, rows)


def measure(root: Path, given: Namespace, folder: Path) -> report.Json:
    """All figures."""
    runs = Runs(root, folder)
    nets = compared(runs, given.seeds)
    return {"nets": nets, "bundle": shipped(root), "attention": looked_at(runs)}


def main() -> None:
    """Train what is not there, measure, write the result and the picture, print the tables."""
    parser = report.options("danet", QUESTION)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="runs of every net")
    parser.add_argument("--runs", type=Path, help="folder that keeps trained nets (default: none are kept)")
    given = parser.parse_args()
    if given.seeds < 1:
        raise UsageError(f"--seeds {given.seeds}", "1 or more")
    root = data_root(given.root)
    with tempfile.TemporaryDirectory() as work:
        measured = measure(root, given, given.runs or Path(work))
    path = report.write(parser, given, QUESTION, report.model_facts([BUNDLE]), measured)
    from benchmarks.danet_picture import draw

    picture = draw(report.read("danet", given.out), path.with_name("danet-attention.png"), root)
    print("\n".join(lines(report.read("danet", given.out))))
    print(f"{path.name} and {picture.name} written")


if __name__ == "__main__":
    report.run(main)
