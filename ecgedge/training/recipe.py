"""A recipe: everything that decides what a training run makes, read from TOML.

Unknown keys are refused, so that a misspelt option cannot be ignored.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from ecgedge.conditioning import check_spec
from ecgedge.errors import BundleError, DataError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

RECIPES = Path(__file__).parent / "recipes"
SETS = ("cinc2017",)


@dataclass(frozen=True)
class WindowOptions:
    """Window of the model, seconds; ``clip`` in standard deviations."""

    length_s: float
    hop_s: float
    minimum_s: float
    clip: float


@dataclass(frozen=True)
class DataOptions:
    """Which records, which labels, and the share kept for inner validation."""

    set: str
    revision: str
    inner_share: float


@dataclass(frozen=True)
class OptimiserOptions:
    """AdamW with a one-cycle schedule; ``class_weights`` in the order of the classes."""

    epochs: int
    batch: int
    peak_rate: float
    weight_decay: float
    label_smoothing: float
    class_weights: list[float]
    ema_decay: float


@dataclass(frozen=True)
class AugmentationOptions:
    """Strengths (in standard deviations of the signal, or shares) of the augmentation; see ``augment``."""

    stretch: float
    polarity: float
    noise: float
    wander: float
    cut_out: float
    short_crop: float


@dataclass(frozen=True)
class Recipe:
    """A whole recipe."""

    name: str
    task: str
    architecture: str
    seed: int
    net: dict[str, Any]
    preprocessing: dict[str, Any]
    window: WindowOptions
    data: DataOptions
    optimiser: OptimiserOptions
    augmentation: AugmentationOptions


_TABLES = {
    "window": WindowOptions,
    "data": DataOptions,
    "optimiser": OptimiserOptions,
    "augmentation": AugmentationOptions,
}
_T = TypeVar("_T")


def _fill(kind: type[_T], table: dict[str, Any], where: str) -> _T:
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    if odd := sorted(set(table) ^ known):
        raise DataError(f"recipe {where}: keys {odd} unknown or missing", f"exactly {sorted(known)}")
    for key, wanted in get_type_hints(kind).items():
        if not _fits(table[key], wanted):
            what = wanted.__name__ if isinstance(wanted, type) and not get_args(wanted) else str(wanted)
            raise DataError(f"recipe {where}: {key} = {table[key]!r}", f"a {what}")
    return kind(**table)


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value read from TOML may stand where ``kind`` is declared."""
    if kind in (int, float):
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    if get_origin(kind) is list:
        return isinstance(value, list) and all(_fits(item, get_args(kind)[0]) for item in value)
    return isinstance(value, get_origin(kind) or kind)


def _check(recipe: Recipe, where: str) -> None:
    """Refuse values that no run can use."""
    o, w = recipe.optimiser, recipe.window
    right = {
        f"[data] set = {recipe.data.set!r}": (recipe.data.set in SETS, f"one of {list(SETS)}"),
        f"[data] inner_share = {recipe.data.inner_share}": (0 < recipe.data.inner_share <= 0.5, "0 to 0.5"),
        f"[optimiser] epochs = {o.epochs}, batch = {o.batch}": (o.epochs > 0 and o.batch > 0, "above 0"),
        f"[window] {w}": (
            0 < w.minimum_s < w.length_s and w.hop_s > 0,
            "0 < minimum_s < length_s, hop_s > 0",
        ),
    }
    for found, (fine, expected) in right.items():
        if not fine:
            raise DataError(f"recipe {where}: {found}", expected)
    try:
        check_spec(recipe.preprocessing)
    except (BundleError, TypeError, ValueError) as error:
        raise DataError(f"recipe {where} [preprocessing]: {error}") from None


def load(name_or_path: str) -> Recipe:
    """Read a shipped recipe by name, or any recipe by path.

    Raises
    ------
    DataError
        If it cannot be found or read, has a key unknown or missing, or a value that cannot be.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = RECIPES / f"{name_or_path}.toml"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError:
        shipped = sorted(p.stem for p in RECIPES.glob("*.toml"))
        raise DataError(f"no recipe {name_or_path!r}", f"a .toml file or one of {shipped}") from None
    except ValueError as error:  # of TOML, or of UTF-8
        raise DataError(f"recipe {path.name} is not TOML ({error})") from None
    return from_table(table, path.name)


def from_table(table: dict[str, Any], where: str) -> Recipe:
    """Make a recipe of nested tables; ``where`` names the file in errors."""
    inner: dict[str, Any] = {
        key: _fill(kind, table[key], f"{where} [{key}]")
        for key, kind in _TABLES.items()
        if isinstance(table.get(key), dict)
    }
    made = _fill(Recipe, {**table, **inner}, where)
    _check(made, where)
    return made
