"""Pictures of ``accuracy.json``: curves, confusion, and the AF burden of the MIT-BIH records.

``python -m benchmarks.pictures`` draws them anew. A PNG carries in its text fields whose data it shows and
the SHA-256 of the result file that it was drawn from.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import report
from benchmarks.outcomes import AF, OUT, area, average_precision, roc
from benchmarks.rhythm_accuracy import RHYTHM
from ecgedge.errors import MissingExtraError
from ecgedge.training.confusion import INK as _INK
from ecgedge.training.confusion import matrix

DATA = {
    "mitdb": "MIT-BIH Arrhythmia Database (Moody and Mark 2001)",
    "cinc2017": "PhysioNet/CinC Challenge 2017 (Clifford et al. 2017)",
}
TERMS = "PhysioNet (Goldberger et al. 2000), ODC-BY 1.0"
TITLES = {"mitdb": "MIT-BIH, 48 records", "cinc2017": "CinC 2017, validation"}
"""What is drawn of each model."""
DPI = 160

_GREY, _LINE, _AF = "#6b7078", "#d9dce1", "#b4142d"
_COLOURS = {"mitdb": _AF, "cinc2017": "#1d5f9e"}
_REFERENCE, _FLUTTER = "#3c4350", "#c9a227"
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.color": _INK,
    "axes.edgecolor": _GREY,
    "axes.labelcolor": _INK,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": _GREY,
    "ytick.color": _GREY,
    "figure.facecolor": "white",
}


def plotter() -> Any:
    """Matplotlib's pyplot, which draws to files only.

    Raises
    ------
    MissingExtraError
        Without Matplotlib.
    """
    try:
        import matplotlib as mpl

        mpl.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        raise MissingExtraError(
            "pictures need matplotlib", advice="In a checkout: pip install '.[plot]'"
        ) from None
    return pyplot


def windows(figures: report.Json, name: str, model: str) -> tuple[str, list[float]]:
    """What was true and how probable AF was, window by window."""
    part = figures[name]["models"][model]
    if name == "mitdb":
        rows = [row["windows"] for row in part["records"].values()]
        reference = "".join(row["reference"] for row in rows)
        return reference, [float(p) for row in rows for p in row["probability"].split()]
    labels = figures[name]["reference"]["v2"]
    number = map(int, part["af"]["windows_per_record"])
    reference = "".join(RHYTHM[label] * n for label, n in zip(labels, number, strict=True))
    return reference, [float(p) for p in part["af"]["probability"].split()]


def draw_curves(pyplot: Any, figures: report.Json, model: str, threshold: float) -> Any:
    """ROC and precision-recall curves of the windows' probability of AF."""
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9.4, 4.7))
    chance = []
    for name, colour in _COLOURS.items():
        reference, probability = windows(figures, name, model)
        kept = [k for k, true in enumerate(reference) if true != OUT]
        positive = np.array([reference[k] == AF for k in kept], dtype=np.float64)
        if not 0 < positive.sum() < positive.size:
            continue  # a partial run may hold no AF
        levels, hits, alarms = roc(positive, np.array([probability[k] for k in kept]))
        recall, fallout = hits / hits[-1], alarms / alarms[-1]
        precision = hits[1:] / (hits + alarms)[1:]
        at = int(np.searchsorted(-levels, -threshold, side="right")) - 1
        look = {"color": colour, "linewidth": 1.8, "solid_joinstyle": "round"}
        dot = {"color": colour, "markersize": 7, "markeredgecolor": "white", "marker": "o", "zorder": 5}
        left.plot(fallout, recall, label=f"{TITLES[name]}: area {area(hits, alarms):.3f}", **look)
        left.plot(fallout[at], recall[at], **dot)
        text = f"{TITLES[name]}: average precision {average_precision(hits, alarms):.3f}"
        right.plot(recall[1:], precision, label=text, **look)
        right.plot(recall[at], precision[at - 1], **dot)
        chance.append(positive.mean())
    if chance:
        right.axhspan(min(chance), max(chance), color=_GREY, linewidth=0.8, alpha=0.5)
        values = " and ".join(f"{share:.2f}" for share in sorted(chance))
        right.text(0.015, max(chance) + 0.012, f"by chance: {values}", color=_GREY, fontsize=7.5, va="bottom")
        left.legend(loc="lower right", frameon=False, fontsize=8.2, borderaxespad=1.0)
        right.legend(loc="center", bbox_to_anchor=(0.47, 0.42), frameon=False, fontsize=8.2)
    left.plot([0, 1], [0, 1], color=_GREY, linewidth=0.8, linestyle=(0, (2, 3)))
    left.text(0.62, 0.585, "by chance", color=_GREY, fontsize=7.5, rotation=45, ha="center", va="center")
    left.set(title="ROC", xlabel="1 - specificity", ylabel="sensitivity")
    right.set(title="Precision and recall", xlabel="sensitivity (recall)", ylabel="positive predictivity")
    for axes in (left, right):
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02), aspect="equal")
        axes.grid(color=_LINE, linewidth=0.6)
        axes.set_axisbelow(True)
    _caption(
        figure,
        f"Probability of AF of every window, inconclusive ones included. Dots: {threshold:g}, "
        "where an episode may begin.",
        ("mitdb", "cinc2017"),
    )
    figure.subplots_adjust(left=0.07, right=0.985, top=0.92, bottom=0.2, wspace=0.2)
    return figure


def draw_confusion(pyplot: Any, figures: report.Json, model: str) -> Any:
    """What the device says of what is there: four classes of records, and AF or not in windows."""
    part = figures["cinc2017"]
    pairs = list(zip(part["reference"]["v2"], part["models"][model]["verdicts"], strict=True))
    counts = [[pairs.count((true, said)) for said in "NAO?"] for true in part["classes"]]
    rows = figures["mitdb"]["models"][model]["windows"]
    binary = [[rows[true][word] for word in ("told_af", "told_other", "inconclusive")]
              for true in ("af", "not_af")]  # fmt: skip
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9.4, 4.3), width_ratios=[4, 3])
    words = ["sinus", "AF", "other"]
    matrix(left, counts, [*words, "noise"], [*words, "inconclusive"])
    left.set_title(f"CinC 2017, {part['records']} validation records")
    matrix(right, binary, ["AF", "no AF"], ["AF", "another rhythm", "inconclusive"])
    right.set_title(f"MIT-BIH, {rows['windows']} windows")
    _caption(
        figure,
        "What is told of each record (left) and each window of 30 s (right). "
        "Shade and percentages: share of the row.",
        ("cinc2017", "mitdb"),
    )
    figure.subplots_adjust(left=0.075, right=0.985, top=0.88, bottom=0.23, wspace=0.2)
    return figure


def draw_burden(pyplot: Any, figures: report.Json, model: str) -> Any:
    """Reference above what was told, for the records with AF."""
    rows = figures["mitdb"]["models"][model]["records"]
    shown = {name: row for name, row in rows.items() if row["reference_af_s"]}
    figure, axes = pyplot.subplots(figsize=(9.4, 0.62 * len(shown) + 1.75))
    for k, (name, row) in enumerate(shown.items()):
        minutes = row["seconds"] / 60
        for at, spans, colour in (
            (k - 0.34, row["reference_flutter_s"], _FLUTTER),
            (k - 0.34, row["reference_af_s"], _REFERENCE),
            (k + 0.02, row["told_from_to_at_s"], _AF),
        ):
            bars = [(span[0] / 60, (span[1] - span[0]) / 60) for span in spans]
            axes.broken_barh([(0, minutes)], (at, 0.3), color="#eff1f4", zorder=0)
            axes.broken_barh(bars, (at, 0.3), color=colour, linewidth=0)
        axes.text(-0.5, k, name, ha="right", va="center", fontsize=10.5, fontweight="bold")
        for shift, key, colour in ((-0.19, "reference", _REFERENCE), (0.17, "told", _AF)):
            text = f"{100 * row['burden'][key]:.1f} %"
            axes.text(minutes + 2.6, k + shift, text, ha="right", va="center", color=colour, fontsize=9)
    handles = [pyplot.Rectangle((0, 0), 1, 1, color=colour) for colour in (_REFERENCE, _FLUTTER, _AF)]
    words = ["AF, reference", "atrial flutter, reference", "AF, told by ecgedge"]
    axes.legend(handles, words, loc="lower left", bbox_to_anchor=(-0.005, 1.0), ncols=3, frameon=False,
                handlelength=1.2, handleheight=0.8, borderaxespad=0.2)  # fmt: skip
    axes.text(32.75, -0.72, "burden", ha="right", va="center", color=_GREY, fontsize=8.5)
    axes.set(xlim=(0, 32.8), ylim=(len(shown) - 0.4, -0.5), xlabel="minutes", yticks=[])
    axes.set_xticks(range(0, 31, 5))
    axes.grid(axis="x", color=_LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    others = [name for name, row in rows.items() if row["told_from_to_at_s"] and name not in shown]
    wrong = f"AF was also told in {', '.join(others)}, which have none. " if others else ""
    _caption(
        figure,
        f"The {len(shown)} of {len(rows)} records with AF, first lead. {wrong}"
        "Flutter counts for neither burden.",
        ("mitdb",),
    )
    figure.subplots_adjust(left=0.055, right=0.99, top=0.93, bottom=0.165)
    return figure


def _caption(figure: Any, text: str, sets: tuple[str, ...]) -> None:
    data = f"Data: {'; '.join(DATA[name] for name in sets)}; {TERMS}."
    figure.text(0.012, 0.052, text, fontsize=8, color=_GREY, va="bottom")
    figure.text(0.012, 0.016, data, fontsize=7, color=_GREY, va="bottom")


def path_of(folder: Path, model: str, what: str) -> Path:
    """Where a picture goes."""
    return folder / f"accuracy-{model}-{what}.png"


def draw(folder: Path = report.RESULTS) -> list[Path]:
    """Draw all pictures of the folder's ``accuracy.json`` beside it; returns their paths.

    Raises
    ------
    MissingExtraError : matplotlib is not installed
    """
    pyplot = plotter()
    result = report.read("accuracy", folder)
    figures = result["figures"]
    digest = hashlib.sha256((folder / "accuracy.json").read_bytes()).hexdigest()
    about = {
        "Description": f"Data: {'; '.join(DATA.values())}; {TERMS}",
        "Source": f"accuracy.json, SHA-256 {digest}",
    }
    paths = []
    for model in figures["mitdb"]["models"]:
        threshold = result["models"][model]["thresholds"]["af_on"]
        with pyplot.rc_context(STYLE):
            drawn = {
                "curves": draw_curves(pyplot, figures, model, threshold),
                "confusion": draw_confusion(pyplot, figures, model),
                "burden": draw_burden(pyplot, figures, model),
            }
            for what, figure in drawn.items():
                paths.append(path_of(folder, model, what))
                figure.savefig(paths[-1], dpi=DPI, metadata={"Title": f"{model}: {what}", **about})
                pyplot.close(figure)
    return paths


def main() -> None:
    """Draw the pictures of the result files in this checkout."""
    report.no_options("pictures", __doc__)
    for path in draw():
        print(f"{path.name} written")


if __name__ == "__main__":
    report.run(main)
