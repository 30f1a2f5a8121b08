"""How well does the shipped beat model class the beats that the device finds, and what does it cost?

MIT-BIH DS2 (de Chazal et al. 2004), first lead, the product's own R peaks, paired within 150 ms from the
first beat on (no learning period). Classes N, S (A a J S), V (V E), F; escape beats count as N. Record 232
holds three quarters of the S beats: figures stand with and without it. Raw classes of the model: no gate.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import report
from benchmarks.markdown import interval, prose, source, table
from ecgedge.bundle import open_bundle
from ecgedge.classifier import Classifier
from ecgedge.datasets.archive import data_root
from ecgedge.training.beats import evaluate
from ecgedge.training.beats import report as tables

if TYPE_CHECKING:
    from pathlib import Path

QUESTION = "How well does the shipped beat model class the beats of MIT-BIH DS2, and what does it cost?"
MODEL, BESIDE = "ecg-sl", "efficientecg-s"
ROUNDS, RUNS = 9, 100
SPAN_S = 10.0
RATES_BPM = (60, 75, 120)


def cost() -> report.Json:
    """Milliseconds of one core by the two nets alone, for 10 s of signal."""
    each = {name: _invoke_ms(name) for name in (MODEL, BESIDE)}
    beats, rhythm = (open_bundle(name) for name in (MODEL, BESIDE))
    windows = SPAN_S / rhythm.window.hop_s
    rows = {rate: SPAN_S * rate / 60 / beats.row.reported for rate in RATES_BPM}
    return {
        "invoke_ms": {name: round(ms, 4) for name, ms in each.items()},
        "per_10_s_ms": {
            f"{rate} bpm": round(windows * each[BESIDE] + share * each[MODEL], 4)
            for rate, share in rows.items()
        },
        "bytes": len(beats.model),
    }


def _invoke_ms(name: str) -> float:
    """Processor time of a run on tensors of zeros, filling the inputs included: median of several rounds."""
    classifier = Classifier(open_bundle(name))
    entries = classifier.bundle.manifest["inputs"]
    zeros = {entry["name"]: np.zeros(entry["shape"], dtype=np.int8) for entry in entries}
    spent = []
    for _ in range(ROUNDS):
        begin = time.process_time()
        for _ in range(RUNS):
            classifier.raw(zeros)
        spent.append(1000 * (time.process_time() - begin) / RUNS)
    return statistics.median(spent)


def measure(root: Path) -> report.Json:
    """Beat by beat on DS2, and the cost."""
    counts = evaluate.evaluate(evaluate.open_model(MODEL, root), root, "test")
    return {
        "records": len(counts),
        "figures": tables.figures(counts),
        "by_record": {
            name: {
                which: dict(zip(("beats", "found", "false"), row, strict=True))
                for which, row in tables.by_class(one).items()
            }
            for name, one in counts.items()
        },
        "cost": cost(),
    }


def lines(result: report.Json) -> list[str]:
    """The table in Markdown."""
    figures = result["figures"]
    rows = []
    parts = {f"without_{evaluate.HARD}": f"without record {evaluate.HARD}", "all": "all of DS2"}
    for which, words in parts.items():
        part = figures["figures"][which]
        for name in "SVFN":
            cells = [interval(part[name], key) for key in ("sensitivity", "ppv", "f1")]
            rows.append([f"{name}, {words}", str(part[name]["beats"]), *cells])
        rows.append([f"macro F1 of N, S, V, {words}", "", "", "", interval(part, "macro_f1")])
    spent = figures["cost"]["per_10_s_ms"]
    text = (
        "Raw classes, before the gate of the events. Product's own beats, first lead, 150 ms, from the first "
        "beat on; S holds A, a, J and S, escape beats count as N. 95 % intervals by bootstrap over the "
        f"{figures['records']} records. Rhythm and beat net together: "
        + ", ".join(f"{ms:.2f} ms at {rate}" for rate, ms in spent.items())
        + " for 10 s of signal on one core."
    )
    heads = ["class", "beats", "sensitivity", "+P", "F1"]
    return [*table(heads, rows), "", *prose(text), "", *source(result)]


def main() -> None:
    """Measure and write the result."""
    parser = report.options("ecg_sl", QUESTION)
    given = parser.parse_args()
    figures = measure(data_root(given.root))
    print(report.write(parser, given, QUESTION, report.model_facts([MODEL, BESIDE]), figures))


if __name__ == "__main__":
    main()
