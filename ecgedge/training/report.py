"""Evaluations and comparisons -> tables for people, on a terminal or piped, and files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rich.console import Console

from ecgedge.training import compare, confusion, evaluate, scored_sets
from ecgedge.training.model import open_model
from ecgedge.training.place import made
from ecgedge.training.tables import number, table, with_interval

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ecgedge.training.evaluate import Evaluation

NAMES = {
    "sensitivity": "AF sensitivity",
    "ppv": "AF +P",
    "specificity": "AF specificity",
    "macro_f1": "macro F1",
    "accuracy": "accuracy",
    "f1_mean_n_a_o": "mean F1 of N, A, O",
}
"""Headline figures in the order of the tables, as far as a set has them; the last is the Challenge's own."""


def command(
    model: str, root: Path, *, int8: bool, data: str | None, split: str | None, out: Path | None
) -> list[Path]:
    """``ecgedge evaluate`` for a rhythm model: print its tables; return the files written to ``out``."""
    name = data or next(iter(scored_sets.SETS))
    scored_sets.find(name, split)  # before a model is opened
    told = evaluate.evaluate(open_model(model, int8), root, name, split)
    show(told)
    return keep(told, out) if out is not None else []


def show(evaluation: Evaluation) -> None:
    """Print the tables of one model."""
    console, figures = Console(highlight=False), evaluation.figures()
    console.print(f"{evaluation.title}, {evaluation.windows} windows", style="bold")
    main = table("", *(f"labels {r}" + (", 95 % interval" if not k else "") for k, r in enumerate(figures)))
    first, *others = figures.values()
    for name, words in _named(first):
        main.add_row(words, with_interval(first, name, 4), *(f"{row[name]:.4f}" for row in others))
    console.print(main)
    told = (f"told {c}" for c in evaluation.classes)
    by_class = table("", evaluation.cases, "recall", "precision", "F1", *told)
    for name, counts in zip(evaluation.classes, first["confusion"], strict=True):
        shares = (number(first[part][name]) for part in ("recall", "precision", "f1"))
        by_class.add_row(name, str(sum(counts)), *shares, *map(str, counts))
    console.print(by_class)
    console.print(_calibration(evaluation))
    console.print(evaluate.note(evaluation), style="dim")


def _calibration(evaluation: Evaluation) -> str:
    """The calibration errors in words."""
    error, parts = evaluation.calibration, [p for p in ("records", "windows") if p in evaluation.calibration]
    said = ", ".join(f"{part} {error[part]:.3f}" for part in parts)
    said = f"Calibration error (15 bins): {said}, at temperature {evaluation.temperature:g}"
    if evaluation.temperature == 1:
        return said
    without = (f"{error[part + '_without_temperature']:.3f}" for part in parts)
    return f"{said} (without: {', '.join(without)})"


def show_comparison(told: Sequence[Evaluation]) -> None:
    """Print models side by side, and what each gains over the first."""
    console, first = Console(highlight=False), told[0]
    title = f"{first.set} {first.split}, {first.records} records, labels {first.revision}"
    console.print(title, style="bold")
    names = _apart([f"{one.model} ({one.arithmetic})" for one in told], " #")
    main, figures = table("", *names), [one.figures()[one.revision] for one in told]
    for name, words in _named(figures[0]):
        main.add_row(words, *(with_interval(row, name, 4) for row in figures))
    main.add_row(
        f"calibration error, {first.cases}", *(f"{one.calibration[first.cases]:.3f}" for one in told)
    )
    console.print(main)
    console.print(f"Gained over {names[0]}", style="bold")
    gains, rows = table("", *names[1:]), compare.differences(told)
    for name, words in _named(rows[0]):
        gains.add_row(words, *(with_interval(row, name, 4, "+") for row in rows))
    gains.add_row(f"{first.cases} only it has right", *(str(row["only_second_right"]) for row in rows))
    gains.add_row(f"{first.cases} only the first has", *(str(row["only_first_right"]) for row in rows))
    if first.together() is None:
        gains.add_row("McNemar's p", *(f"{row['mcnemar_p']:.3g}" for row in rows))
    console.print(gains)
    console.print("95 % intervals by bootstrap over records; of differences, paired.", style="dim")
    console.print(evaluate.note(first), style="dim")


def _named(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """The headline figures that are there, with their words."""
    return [(name, words) for name, words in NAMES.items() if name in figures]


def _stem(evaluation: Evaluation) -> str:
    """What files of an evaluation are called."""
    return f"{evaluation.model}-{evaluation.arithmetic}-{evaluation.set}-{evaluation.split}"


def _apart(names: Sequence[str], sign: str) -> list[str]:
    """The names, with a number at the second and further ones of the same."""
    counts = [names[: k + 1].count(name) for k, name in enumerate(names)]
    return [name if count == 1 else f"{name}{sign}{count}" for name, count in zip(names, counts, strict=True)]


def keep(evaluation: Evaluation, folder: Path, stem: str | None = None) -> list[Path]:
    """Write an evaluation as JSON and its confusion matrix as PNG; returns the paths.

    Parameters
    ----------
    stem : of the files' names; default: model, arithmetic, set and split

    Raises
    ------
    UsageError
        If the folder cannot be written.
    """
    made(folder)
    stem = stem or _stem(evaluation)
    paths = [folder / f"{stem}.json", folder / f"{stem}.png"]
    evaluate.save(evaluation, paths[0])
    counts = evaluation.figures()[evaluation.revision]["confusion"]
    confusion.draw(paths[1], counts, evaluation.classes, evaluation.title.replace(", ", "\n", 1))
    return paths


def keep_comparison(told: Sequence[Evaluation], folder: Path) -> list[Path]:
    """Write each evaluation, and ``comparison.json``; returns the paths."""
    stems = _apart([_stem(one) for one in told], "-")
    paths = [path for one, stem in zip(told, stems, strict=True) for path in keep(one, folder, stem)]
    facts = ("model", "arithmetic", "sha256")
    first, *others = ({name: getattr(one, name) for name in facts} for one in told)
    rows = [one | row for one, row in zip(others, compare.differences(told), strict=True)]
    content = {"set": told[0].set, "split": told[0].split, "first": first, "differences": rows}
    paths.append(folder / "comparison.json")
    paths[-1].write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return paths
