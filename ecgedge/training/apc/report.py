"""Figures of called windows -> tables for people, and files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console

from ecgedge.errors import UsageError
from ecgedge.training.apc import evaluate
from ecgedge.training.apc.figures import threshold_at
from ecgedge.training.tables import keep, number, table

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
    if out is None:
        return []
    told = {"threshold_log_odds": round(threshold, 4), "figures": tables}
    return [keep(out, given, evaluate.SET, split, NOTES[split], **told)]


def show(model: Model, split: str, tables: dict[str, Any]) -> None:
    """Print the tables."""
    console = Console(highlight=False)
    console.print(f"{model.name} ({model.arithmetic}), {evaluate.SET} {split}", style="bold")
    heads = ("", "windows", "with APC", "area under PR, 95 %", "Se", "Sp", "+P")
    made = table(*heads)
    for name in ("all", f"without_{evaluate.HARD}"):
        if (row := tables.get(name)) is None:
            continue
        low, high = row["average_precision_interval"] or (None, None)
        made.add_row(
            name.replace("_", " "), str(row["windows"]), str(row["positive"]),
            f"{number(row['average_precision'])} ({number(low)} to {number(high)})",
            *(number(row[key]) for key in ("sensitivity", "specificity", "precision")),
        )  # fmt: skip
    console.print(made)
    records = table("record", "with APC", "found", "without", "told all the same")
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
