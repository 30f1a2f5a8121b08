"""The picture of ``danet.json``: where DANet looks, for premature atrial beats and for AF.

``python -m benchmarks.danet_picture`` draws it anew from the result file; the curves below are of the shipped
bundle. A PNG carries in its text fields whose data it shows and the SHA-256 of the result file.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import report
from benchmarks.pictures import DPI, STYLE, TERMS, plotter
from ecgedge.bundle import open_bundle
from ecgedge.classifier import Classifier
from ecgedge.datasets import mitdb
from ecgedge.datasets.archive import data_root
from ecgedge.features import make_inputs
from ecgedge.training.apc.sets import PREMATURE_ATRIAL
from ecgedge.training.apc.waves import KINDS
from ecgedge.training.data import condition, record_windows

NAME = "danet-attention.png"
EXAMPLE, EXAMPLE_S = "100", 4.0
"""Record of DS2; the window's first premature atrial beat is to lie at least so far from its begin."""
DATA = "MIT-BIH Arrhythmia Database (Moody and Mark 2001); LUDB (Kalyakulina et al. 2020)"
COLOURS = {"learnt from waves": "#9aa1ab", "APC": "#d98300", "AF": "#b4142d"}
WORDS = {"learnt from waves": "learnt from waves", "APC": "trained for APC", "AF": "trained for AF"}


def draw(result: report.Json, out: Path, root: Path) -> Path:
    """Draw the picture; returns its path."""
    pyplot = plotter()
    digest = hashlib.sha256((out.parent / "danet.json").read_bytes()).hexdigest()
    about = {"Description": f"Data: {DATA}; {TERMS}", "Source": f"danet.json, SHA-256 {digest}"}
    with pyplot.rc_context(STYLE):
        figure, (top, bottom) = pyplot.subplots(2, 1, figsize=(8.6, 5.6), height_ratios=(1.0, 1.1))
        _bars(top, result["figures"]["attention"]["ludb"]["sinus"])
        _example(bottom, root)
        figure.tight_layout(h_pad=1.6)
        figure.savefig(out, dpi=DPI, metadata=about)
        pyplot.close(figure)
    return out


def _bars(axes: Any, row: report.Json) -> None:
    kinds, titles = (*KINDS, "elsewhere"), [title for title in COLOURS if title in row]
    for k, title in enumerate(titles):
        at = np.arange(len(kinds)) + (k - (len(titles) - 1) / 2) * 0.27
        heights = [row[title].get(kind, np.nan) for kind in kinds]
        axes.bar(at, heights, width=0.25, color=COLOURS[title], label=WORDS[title])
        for x, height in zip(at, heights, strict=True):
            axes.text(x, height + 0.012, f"{height:.2f}", ha="center", fontsize=7.5, color="#6b7078")
    axes.set_xticks(range(len(kinds)), ["P wave", "QRS", "T wave", "elsewhere"])
    axes.set_ylabel("mean attention")
    axes.set_title(f"LUDB, lead II, {row['records']} records in sinus rhythm, waves marked by hand")
    axes.legend(frameon=False, fontsize=8.5)
    axes.margins(y=0.12)


def _example(axes: Any, root: Path) -> None:
    bundle = open_bundle("danet")
    (record,) = mitdb.records(root, [EXAMPLE])
    signal = condition(record.lead(), record.rate_hz, bundle.manifest["preprocessing"])
    early = [b.sample / record.rate_hz for b in record.beats() if b.symbol in PREMATURE_ATRIAL]
    window = next(
        w
        for w in record_windows(signal, bundle.window)
        if any(EXAMPLE_S <= at - w.time_s <= w.seconds - 2.0 for at in early)
    )
    names = {entry["kind"]: entry["name"] for entry in bundle.manifest["outputs"]}
    outputs = Classifier(bundle).outputs(make_inputs(bundle.manifest["inputs"], window.signal))
    attention = outputs[names["attention"]].reshape(-1)
    at = np.arange(window.signal.size) / window.rate_hz
    axes.plot(at, window.signal, color="#16181d", linewidth=0.9)
    low, high = axes.get_ylim()
    span = high - low
    axes.fill_between(at, low - 0.45 * span, low - 0.45 * span + 0.4 * span * attention, color=COLOURS["APC"])
    for moment in early:
        if window.time_s <= moment < window.time_s + window.seconds:
            axes.annotate(
                "APC",
                (moment - window.time_s, high),
                ha="center",
                va="bottom",
                color="#b4142d",
                weight="bold",
            )
    axes.set_yticks([tick for tick in axes.get_yticks() if low <= tick <= high])
    axes.set(xlim=(0, window.seconds), ylim=(low - 0.5 * span, high + 0.12 * span))
    axes.set_xlabel("seconds")
    axes.set_ylabel("mV; below: attention")
    axes.set_title(f"MIT-BIH record {EXAMPLE} from {window.time_s:g} s on: the shipped bundle", pad=14)


def main() -> None:
    """Draw the picture of the result file in this checkout."""
    report.no_options("danet_picture", __doc__)
    print(draw(report.read("danet"), report.RESULTS / NAME, data_root(None)))


if __name__ == "__main__":
    report.run(main)
