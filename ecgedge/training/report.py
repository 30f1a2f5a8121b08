"""Evaluations and comparisons -> tables for people, on a terminal or piped, and files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table

from ecgedge.datasets import cinc2017
from ecgedge.training import compare, confusion, evaluate
from ecgedge.training.place import usable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ecgedge.training.evaluate import Evaluation

NAMES = {"macro_f1": "macro F1 of 4", "accuracy": "accuracy", "f1_mean_n_a_o": "mean F1 of N, A, O"}
"""Headline figures in the order of the tables; the last one is the Challenge's own."""


def command(
    model: str, root: Path, *, int8: bool, data: str | None, split: str | None, out: Path | None
) -> list[Path]:
    """``ecgedge evaluate`` for a rhythm model: print its tables; return the files written to ``out``."""
    given = evaluate.open_model(model, int8)
    name = data or next(iter(evaluate.SPLITS))
    told = evaluate.evaluate(given, root, name, split or "inner")
    show(told)
    return keep(told, out) if out is not None else []


def show(evaluation: Evaluation) -> None:
    """Print the tables of one model."""
    console, figures = Console(highlight=False), evaluation.figures()
    console.print(f"{evaluation.title}, {evaluation.windows} windows", style="bold")
    table = _table("", *(f"labels {r}" + (", 95 % interval" if not k else "") for k, r in enumerate(figures)))
    for name, words in NAMES.items():
        first, *others = figures.values()
        table.add_row(words, _with_interval(first, name), *(f"{row[name]:.4f}" for row in others))
    console.print(table)
    first = next(iter(figures.values()))
    by_class = _table("", "records", "recall", "precision", "F1", *(f"told {c}" for c in cinc2017.CLASSES))
    for name, counts in zip(cinc2017.CLASSES, first["confusion"], strict=True):
        shares = (_share(first[part][name]) for part in ("recall", "precision", "f1"))
        by_class.add_row(name, str(sum(counts)), *shares, *map(str, counts))
    console.print(by_class)
    error = evaluation.calibration
    console.print(
        f"Calibration error (15 bins): records {error['records']:.3f}, windows {error['windows']:.3f}, "
        f"at temperature {evaluation.temperature:g}"
        + (
            f" (without: {error['records_without_temperature']:.3f}, "
            f"{error['windows_without_temperature']:.3f})"
            if evaluation.temperature != 1
            else ""
        )
    )
    console.print(evaluate.NOTES[evaluation.split], style="dim")


def show_comparison(told: Sequence[Evaluation]) -> None:
    """Print models side by side, and what each gains over the first."""
    console, first = Console(highlight=False), told[0]
    console.print(f"{first.set} {first.split}, {len(first.names)} records, labels v2", style="bold")
    names = [f"{one.model} ({one.arithmetic})" for one in told]
    table, figures = _table("", *names), [one.figures()[evaluate.REVISIONS[0]] for one in told]
    for name, words in NAMES.items():
        table.add_row(words, *(_with_interval(row, name) for row in figures))
    table.add_row("calibration error", *(f"{one.calibration['records']:.3f}" for one in told))
    console.print(table)
    console.print(f"Gained over {names[0]}", style="bold")
    gains, rows = _table("", *names[1:]), compare.differences(told)
    for name, words in NAMES.items():
        gains.add_row(words, *(_with_interval(row, name, "+") for row in rows))
    gains.add_row("records only it has right", *(str(row["only_second_right"]) for row in rows))
    gains.add_row("records only the first has", *(str(row["only_first_right"]) for row in rows))
    gains.add_row("McNemar's p", *(f"{row['mcnemar_p']:.3g}" for row in rows))
    console.print(gains)
    console.print("95 % intervals by bootstrap over records; of differences, paired.", style="dim")
    console.print(evaluate.NOTES[first.split], style="dim")


def keep(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Write an evaluation as JSON and its confusion matrix as PNG; returns the paths.

    Raises
    ------
    UsageError
        If the folder cannot be written.
    """
    usable(folder).mkdir(parents=True, exist_ok=True)
    stem = f"{evaluation.model}-{evaluation.arithmetic}-{evaluation.set}-{evaluation.split}"
    paths = [folder / f"{stem}.json", folder / f"{stem}.png"]
    evaluate.save(evaluation, paths[0])
    counts = evaluation.figures()[evaluate.REVISIONS[0]]["confusion"]
    confusion.draw(paths[1], counts, cinc2017.CLASSES, evaluation.title.replace(", ", "\n", 1))
    return paths


def keep_comparison(told: Sequence[Evaluation], folder: Path) -> list[Path]:
    """Write each evaluation, and ``comparison.json``; returns the paths."""
    paths = [path for one in told for path in keep(one, folder)]
    facts = ("model", "arithmetic", "sha256")
    first, *others = ({name: getattr(one, name) for name in facts} for one in told)
    rows = [one | row for one, row in zip(others, compare.differences(told), strict=True)]
    content = {"set": told[0].set, "split": told[0].split, "first": first, "differences": rows}
    paths.append(folder / "comparison.json")
    paths[-1].write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return paths


def _table(*heads: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for k, head in enumerate(heads):
        table.add_column(head, justify="right" if k else "left")
    return table


def _with_interval(row: dict[str, Any], name: str, sign: str = "") -> str:
    low, high = row[f"{name}_interval"]
    return f"{row[name]:{sign}.4f} ({low:{sign}.3f} to {high:{sign}.3f})"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
