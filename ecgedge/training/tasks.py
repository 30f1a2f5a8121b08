"""What a recipe or a model is for -> who trains and scores it.

A task has a module each for training and for scoring, imported when it is wanted. One that is not here is a
mistake of the recipe.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from ecgedge.bundle import open_bundle
from ecgedge.errors import DataError
from ecgedge.training.checkpoint import name_and_task
from ecgedge.training.recipe import read_table


@dataclass(frozen=True)
class Task:
    """Dotted names of modules under ``ecgedge.training``."""

    run: str
    """Has ``train(recipe, root, out, **machine) -> Path``; ``machine``: fields of ``trainer.Machine``."""
    report: str
    """Has ``command(model, root, *, int8, data, split, out) -> list[Path]``, for ``ecgedge evaluate``."""
    varied: bool = False
    """Whether ``train`` takes ``seed`` and ``fold``, too."""


TASKS = {
    "rhythm": Task("run", "report", varied=True),
    "beats": Task("beats.run", "beats.report"),
    "apc": Task("apc.run", "apc.report"),
}


def of_recipe(name_or_path: str) -> Task:
    """The task of a recipe.

    Raises
    ------
    DataError
        If the recipe cannot be read, or names a task that is not here.
    """
    table, where = read_table(name_or_path)
    return known(table.get("task"), f"recipe {where}")


def of_model(word: str) -> Task:
    """The task of a checkpoint (``.pt``) or bundle.

    Raises
    ------
    DataError, BundleError
        If it cannot be read, or is for a task that is not here.
    """
    path = Path(word)
    named = name_and_task(path)[1] if path.suffix == ".pt" else open_bundle(word).manifest["task"]
    return known(named, path.name)


def known(name: Any, where: str) -> Task:
    """The task of this name; ``where`` tells what it was read from.

    Raises
    ------
    DataError
        If there is none.
    """
    if not isinstance(name, str) or name not in TASKS:
        raise DataError(f"{where}: task {name!r}", f"one of {list(TASKS)}")
    return TASKS[name]


def module(name: str) -> Any:
    """A module under ``ecgedge.training``, imported now."""
    return import_module(f"ecgedge.training.{name}")
