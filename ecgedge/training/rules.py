"""What the values of a recipe may be: what the recipes of all tasks have in common.

Values are finite numbers by then (see ``recipe.fill``). Limits are wide: what lies outside of them is a
mistake, not a choice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ecgedge.bundle import manifest_schema
from ecgedge.conditioning import check_spec
from ecgedge.errors import BundleError, DataError
from ecgedge.schema import first_fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ecgedge.training.recipe import AugmentationOptions, BaseRecipe, LabelOptimiser

Limits = tuple[float, float]
"""The least and the greatest value."""
Rules = dict[str, tuple[bool, str]]
"""What is said, whether it can be, and what would be right."""

SEEDS = range(2**32)
"""Those that Lightning, numpy and torch take."""
EPOCHS: Limits = (1, 100_000)
PEAK_RATES: Limits = (1e-30, 1)
CLIPS: Limits = (0.1, 1000)
INNER_SHARES: Limits = (0.01, 0.5)
_CLASS_WEIGHTS: Limits = (0.001, 1000)
_OPTIMISER: dict[str, Limits] = {
    "batch": (1, 65_536),
    "weight_decay": (0, 1),
    "label_smoothing": (0, 0.9),
    "ema_decay": (0, 0.9999),
}
_STRENGTHS: dict[str, Limits] = {
    **dict.fromkeys(("polarity", "cut_out", "short_crop", "sensor_noise"), (0, 1)),
    **dict.fromkeys(("stretch", "gain"), (0, 0.9)),
    **dict.fromkeys(("noise", "wander", "mains"), (0, 100)),
    **dict.fromkeys(("snr_low_db", "snr_high_db"), (-100, 100)),
}


def within(where: str, options: Any, limits: dict[str, Limits]) -> Rules:
    """That the named values of some options lie within their limits; ``where`` names the options' table."""
    rules: Rules = {}
    for name, (least, greatest) in limits.items():
        value = getattr(options, name)
        rules[f"{where} {name} = {value}"] = (least <= value <= greatest, f"{least:g} to {greatest:g}")
    return rules


def named(key: str, names: Iterable[str]) -> Rules:
    """That recipes are named as models are: a name is that of files, too."""
    rule = manifest_schema()["properties"]["name"]
    expected = "small letters, digits and hyphens"
    return {f"{key} = {name!r}": (first_fault(name, rule) is None, expected) for name in names}


def base_rules(recipe: BaseRecipe, classes: Sequence[str]) -> Rules:
    """Those of what all recipes have; ``classes`` are told by the net."""
    n = recipe.net.get("classes", len(classes))
    return {
        **named("name", [recipe.name]),
        f"seed = {recipe.seed}": (recipe.seed in SEEDS, f"{SEEDS[0]} to {SEEDS[-1]}"),
        f"[net] classes = {n!r}": (n == len(classes), f"{len(classes)}, for {list(classes)}"),
        **within("[optimiser]", recipe.optimiser, _OPTIMISER),
    }


def label_rules(options: LabelOptimiser, classes: Sequence[str]) -> Rules:
    """Those of labels learned in one go."""
    least, greatest = _CLASS_WEIGHTS
    given = options.class_weights
    fine = len(given) == len(classes) and all(least <= weight <= greatest for weight in given)
    return {
        **within("[optimiser]", options, {"epochs": EPOCHS, "peak_rate": PEAK_RATES}),
        f"[optimiser] class_weights = {given}": (
            fine,
            f"{least:g} to {greatest:g} for each of {list(classes)}",
        ),
    }


def strength_rules(ours: AugmentationOptions) -> Rules:
    """Those of each strength."""
    return {
        **within("[augmentation]", ours, _STRENGTHS),
        f"[augmentation] snr_low_db = {ours.snr_low_db}, snr_high_db = {ours.snr_high_db}": (
            ours.snr_low_db <= ours.snr_high_db,
            "the lower one first",
        ),
    }


def enforce(rules: Rules, recipe: BaseRecipe, where: str) -> None:
    """Refuse a recipe that breaks a rule, or whose conditioning or window cannot be; ``where`` names it.

    Raises
    ------
    DataError
        With what was found and what would be right.
    """
    for found, (fine, expected) in rules.items():
        if not fine:
            raise DataError(f"recipe {where}: {found}", expected)
    try:
        check_spec(recipe.preprocessing)
    except BundleError as error:
        raise DataError(f"recipe {where} [preprocessing]: {error}") from None
    try:
        _ = recipe.spec
    except BundleError as error:
        raise DataError(f"recipe {where} [window]: {error}") from None
