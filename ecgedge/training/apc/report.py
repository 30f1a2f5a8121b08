"""Figures of called windows -> tables for people, and files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table

from ecgedge import __version__
from ecgedge.errors import UsageError
from ecgedge.training.apc import evaluate
from ecgedge.training.apc.figures import threshold_at
from ecgedge.training.place import usable

if TYPE_CHECKING:
    from pathlib import Path

    from ecgedge.training.apc.evaluate import Model

SENSITIVITY = 0.8
"""Of a checkpoint, which has no threshold yet: the one that finds this share of the inner windows."""
NOTES = {
    "inner": "Inner records: a part of DS1 that fitting left out. A bundle's threshold was chosen on them.",
    "test": "DS2: it is for the final table, and every look at it counts. To choose, use --split inner.",
}


def command(
    model: str, root: Path, *, int8: bool, data: str | None, split: str | None, out: Path | None
) -> list[Path]:
    """``ecgedge evaluate`` for a model of windows: print its tables; return the files written to ``out``.

    Raises
    ------
    UsageError, DataError, BundleError
        For a set, split or model that will not do.
    """
    if data not in (None, evaluate.SET):
        raise UsageError(f"--data {data}", evaluate.SET, "Only there each beat has a class.")
    given, split = evaluate.open_model(model, int8), split or evaluate.SPLITS[0]
    waves = None if out is None else out / "waves"
    threshold = given.threshold
    if threshold is None:
        inner = evaluate.windows_of(root, given.plan, "inner", waves)
        threshold = threshold_at(inner.labels, given.log_odds(inner), SENSITIVITY)
    windows = evaluate.windows_of(root, given.plan, split, waves)
    tables = evaluate.tables(windows, given.log_odds(windows), threshold, given.plan.window.hop_s)
    show(given, split, tables)
    return [keep(given, split, threshold, tables, out)] if out is not None else []


def show(model: Model, split: str, tables: dict[str, Any]) -> None:
    """Print the tables."""
    console = Console(highlight=False)
    console.print(f"{model.name} ({model.arithmetic}), {evaluate.SET} {split}", style="bold")
    heads = ("", "windows", "with APC", "area under PR, 95 %", "Se", "Sp", "+P")
    table = _table(*heads)
    for name in ("all", f"without_{evaluate.HARD}"):
        if (row := tables.get(name)) is None:
            continue
        low, high = row["average_precision_interval"] or (None, None)
        table.add_row(
            name.replace("_", " "), str(row["windows"]), str(row["positive"]),
            f"{_share(row['average_precision'])} ({_share(low)} to {_share(high)})",
            *(_share(row[key]) for key in ("sensitivity", "specificity", "precision")),
        )  # fmt: skip
    console.print(table)
    records = _table("record", "with APC", "found", "without", "told all the same")
    for name, row in tables["records"].items():
        counts = (row["found"] + row["missed"], row["found"], row["false"] + row["passed"], row["false"])
        records.add_row(name, *map(str, counts))
    console.print(records)
    if (free := tables.get("free")) is not None:
        console.print(
            f"{free['false_windows_per_hour']} windows an hour are called in records without any APC "
            f"({', '.join(free['records'])})"
        )
    console.print(f"{tables['unclear_windows']} windows whose APC is nearly cut off count neither way.")
    console.print("Se, Sp, +P: sensitivity, specificity, positive predictivity. " + NOTES[split], style="dim")


def keep(model: Model, split: str, threshold: float, tables: dict[str, Any], folder: Path) -> Path:
    """Write figures as JSON; returns the path.

    Raises
    ------
    UsageError
        If the folder cannot be written.
    """
    usable(folder).mkdir(parents=True, exist_ok=True)
    path = folder / f"{model.name}-{model.arithmetic}-{evaluate.SET}-{split}.json"
    facts = {"model": model.name, "arithmetic": model.arithmetic, "sha256": model.sha256}
    content = {
        "ecgedge": __version__,
        "note": NOTES[split],
        **facts,
        "set": evaluate.SET,
        "split": split,
        "threshold_log_odds": round(threshold, 4),
        "figures": tables,
    }
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def _table(*heads: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for k, head in enumerate(heads):
        table.add_column(head, justify="right" if k else "left")
    return table


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
