"""Beat-by-beat figures -> tables for people, and files."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table

from ecgedge import __version__
from ecgedge.errors import UsageError
from ecgedge.scoring.beats import LABELS
from ecgedge.training.beats import evaluate
from ecgedge.training.beats.data import CLASSES
from ecgedge.training.place import usable

if TYPE_CHECKING:
    from pathlib import Path

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
    return [keep(given, split, counts, tables, out)] if out is not None else []


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
        table = _table(which.replace("_", " "), "beats", "false", "sensitivity", "+P", "F1")
        for name in CLASSES:
            cells = (_cell(row[name], key) for key in ("sensitivity", "ppv", "f1"))
            table.add_row(name, str(row[name]["beats"]), str(row[name]["false"]), *cells)
        console.print(table)
        console.print(f"macro F1 of N, S, V: {_cell(row, 'macro_f1')}\n")
    console.print(_by_record(counts))
    console.print("95 % intervals by bootstrap over records.", style="dim")
    console.print(NOTES[split], style="dim")


def _by_record(counts: dict[str, BeatCounts]) -> Table:
    """Of each record, the beats of S and V: how many, found, and false."""
    table = _table("record", *(f"{name} {what}" for name in "SV" for what in ("beats", "found", "false")))
    for record, one in counts.items():
        table.add_row(record, *(str(n) for row in by_class(one).values() for n in row))
    return table


def by_class(one: BeatCounts) -> dict[str, tuple[int, int, int]]:
    """For S and V: how many beats, how many found, how many false."""
    others = {"S": "NVFOX", "V": "NSOX"}
    return {
        name: (one.count(name, LABELS), one.count(name, name), one.count(false, name))
        for name, false in others.items()
    }


def keep(
    model: Model, split: str, counts: dict[str, BeatCounts], tables: dict[str, Any], folder: Path
) -> Path:
    """Write an evaluation as JSON; returns the path.

    Raises
    ------
    UsageError
        If the folder cannot be written.
    """
    usable(folder).mkdir(parents=True, exist_ok=True)
    path = folder / f"{model.name}-{model.arithmetic}-mitdb-{split}.json"
    content = {
        "ecgedge": __version__,
        "note": NOTES[split],
        "model": model.name,
        "arithmetic": model.arithmetic,
        "sha256": model.sha256,
        "set": evaluate.SET,
        "split": split,
        "window_s": 0.15,
        "figures": tables,
        "matrices": {name: asdict(one)["matrix"] for name, one in counts.items()},
    }
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path


def _table(*heads: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for k, head in enumerate(heads):
        table.add_column(head, justify="right" if k else "left")
    return table


def _cell(row: dict[str, Any], name: str) -> str:
    value, interval = row[name], row[f"{name}_interval"]
    if value is None:
        return "-"
    return f"{value:.3f}" + (f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else "")
