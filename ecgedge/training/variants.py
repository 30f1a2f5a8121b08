"""A recipe again with another seed, or with other records left out of fitting: how far figures are luck."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from ecgedge.errors import UsageError
from ecgedge.training.rules import SEEDS

if TYPE_CHECKING:
    from ecgedge.training.recipe import Recipe

FOLDS = (2, 50)
"""Fewest and most that the training list may be cut into."""


def varied(recipe: Recipe, seed: int | None, fold: str | None) -> Recipe:
    """What ``ecgedge train RECIPE --seed N --fold K/N`` trains; None leaves the recipe's own.

    Raises
    ------
    UsageError
        For a seed or fold that cannot be.
    """
    if fold is not None:
        recipe = with_fold(recipe, *fold_of(fold))
    return recipe if seed is None else with_seed(recipe, seed)


def with_seed(recipe: Recipe, seed: int) -> Recipe:
    """The recipe with another seed, named after it (``-seed7``), so that runs lie side by side.

    The net that it starts from is that of the same seed, or most of the run would be the same; teachers stay.

    Raises
    ------
    UsageError
        For a seed that cannot be.
    """
    if seed not in SEEDS:
        raise UsageError(f"seed {seed}", f"{SEEDS[0]} to {SEEDS[-1]}")
    ending = f"-seed{seed}"
    start = None if recipe.start is None else recipe.start + ending
    return replace(recipe, name=recipe.name + ending, seed=seed, start=start)


def with_fold(recipe: Recipe, fold: int, of: int) -> Recipe:
    """The recipe with one of several folds of the training list for inner validation (``-fold2of5``).

    Nets that it learns or starts from are those of the same fold: others have seen its inner records.

    Parameters
    ----------
    fold : from 1
    of : how many there are

    Raises
    ------
    UsageError
        For a fold that cannot be.
    """
    least, most = FOLDS
    if not (least <= of <= most and 1 <= fold <= of):
        raise UsageError(f"fold {fold} of {of}", f"K of N, with N of {least} to {most}, K of 1 to N")
    ending = f"-fold{fold}of{of}"
    taught = recipe.distillation
    if taught is not None:
        taught = replace(taught, teachers=[name + ending for name in taught.teachers])
    return replace(
        recipe,
        name=recipe.name + ending,
        data=replace(recipe.data, inner_share=1 / of, inner_fold=fold),
        distillation=taught,
        start=None if recipe.start is None else recipe.start + ending,
    )


def fold_of(words: str) -> tuple[int, int]:
    """``K/N`` as two numbers.

    Raises
    ------
    UsageError
        If it is something else.
    """
    found = re.fullmatch("([0-9]{1,4})/([0-9]{1,4})", words)
    if found is None:
        raise UsageError(f"fold {words:.20}", "K/N, such as 2/5")
    return int(found[1]), int(found[2])
