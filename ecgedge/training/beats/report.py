"""Beat-by-beat figures -> tables for people, and files."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console

from ecgedge.errors import UsageError
from ecgedge.scoring.beats import LABELS
from ecgedge.training.beats import evaluate
from ecgedge.training.beats.data import CLASSES
from ecgedge.training.tables import keep, table, with_interval

if TYPE_CHECKING:
    from pathlib import Path

    from rich.table import Table

    from ecgedge.scoring.beats import BeatCounts
    from ecgedge.training.beats.evaluate import Model

NOTES = {
    "inner": "Inner records: a part of DS1 that fitting left out.",
    "test": "DS2: it is for the final table, and every look at it counts. To choose, use --split inner.",
}


def command(
    model: str, root: Path, *, int8: bool, data: str | None, split: str | None, out: Path | None
) -> list[Path]:
    """``ecgedge evaluate`` for a beat model: print its tables; return the files written to ``out``.

    Raises
    ------
    UsageError, DataError, BundleError
        For a set, split or model that will not do.
    """
    if data not in (None, evaluate.SET):
        raise UsageError(f"--data {data}", evaluate.SET, "Only there each beat has a class.")
    given, split = evaluate.open_model(model, root, int8), split or evaluate.SPLITS[0]
    counts = evaluate.evaluate(given, root, split)
    tables = figures(counts)
    show(given, split, counts, tables)
    if out is None:
        return []
    matrices = {name: asdict(one)["matrix"] for name, one in counts.items()}
    told = {"window_s": 0.15, "figures": tables, "matrices": matrices}
    return [keep(out, given, evaluate.SET, split, NOTES[split], **told)]


def figures(counts: dict[str, BeatCounts]) -> dict[str, Any]:
    """Figures over all records, and over those without the hard one where it is among them."""
    out = {"all": evaluate.figures(counts)}
    if evaluate.HARD in counts:
        rest = {name: row for name, row in counts.items() if name != evaluate.HARD}
        out[f"without_{evaluate.HARD}"] = evaluate.figures(rest)
    return out


def show(model: Model, split: str, counts: dict[str, BeatCounts], tables: dict[str, Any]) -> None:
    """Print the tables."""
    console = Console(highlight=False)
    console.print(f"{model.name} ({model.arithmetic}), mitdb {split}, {len(counts)} records", style="bold")
    for which, row in tables.items():
        made = table(which.replace("_", " "), "beats", "false", "sensitivity", "+P", "F1")
        for name in CLASSES:
            cells = (with_interval(row[name], key) for key in ("sensitivity", "ppv", "f1"))
            made.add_row(name, str(row[name]["beats"]), str(row[name]["false"]), *cells)
        console.print(made)
        console.print(f"macro F1 of N, S, V: {with_interval(row, 'macro_f1')}\n")
    console.print(_by_record(counts))
    console.print("95 % intervals by bootstrap over records.", style="dim")
    console.print(NOTES[split], style="dim")


def _by_record(counts: dict[str, BeatCounts]) -> Table:
    """Of each record, the beats of S and V: how many, found, and false."""
    made = table("record", *(f"{name} {what}" for name in "SV" for what in ("beats", "found", "false")))
    for record, one in counts.items():
        made.add_row(record, *(str(n) for row in by_class(one).values() for n in row))
    return made


def by_class(one: BeatCounts) -> dict[str, tuple[int, int, int]]:
    """For S and V: how many beats, how many found, how many false."""
    others = {"S": "NVFOX", "V": "NSOX"}
    return {
        name: (one.count(name, LABELS), one.count(name, name), one.count(false, name))
        for name, false in others.items()
    }
