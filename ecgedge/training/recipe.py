"""A recipe: everything that decides what a training run makes, read from TOML.

Unknown keys are refused, so that a misspelt option cannot be ignored.
"""

from __future__ import annotations

import sys
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from ecgedge.beat_windows import BeatSpec
from ecgedge.datasets import cinc2017
from ecgedge.errors import BundleError, DataError
from ecgedge.features import BEATS, PERSON, check_kind
from ecgedge.schema import finite
from ecgedge.training.rules import (
    CLIPS,
    INNER_SHARES,
    Rules,
    base_rules,
    enforce,
    label_rules,
    named,
    strength_rules,
    within,
)
from ecgedge.windows import WindowSpec

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

RECIPES = Path(__file__).parent / "recipes"
CLASSES = {"cinc2017": cinc2017.CLASSES}
"""What is told of a window, by data set."""
KINDS = ("adamw", "radam")
SCHEDULES = ("one-cycle", "steps")
LOSSES = ("weighted", "published")
FEWEST_STEPS = 5
"""The one-cycle schedule rises in the first quarter of the run and needs two steps for it."""
RANGES = ("min-max", "least-error")
ROUNDED = ("efficientecg",)
"""Architectures of which ``rounding`` knows every operator."""


@dataclass(frozen=True)
class WindowOptions:
    """Window of the model, seconds; ``clip`` in standard deviations."""

    length_s: float
    hop_s: float
    minimum_s: float
    clip: float

    def at(self, rate_hz: float) -> WindowSpec:
        """The same for the frontend, of signal of that rate."""
        return WindowSpec(rate_hz, self.length_s, self.hop_s, self.minimum_s)


@dataclass(frozen=True)
class DataOptions:
    """Which records, which labels, and the share kept for inner validation.

    ``inner_fold``: which of the shares that the training list falls into, from 1; None: the middle one.
    """

    set: str
    revision: str
    inner_share: float
    inner_fold: int | None = None


@dataclass(frozen=True)
class BaseOptimiser:
    """What the optimisers of all tasks have; ``ema_decay`` is of the average over the steps."""

    batch: int
    weight_decay: float
    label_smoothing: float
    ema_decay: float


@dataclass(frozen=True)
class LabelOptimiser(BaseOptimiser):
    """For labels learned in one go; ``class_weights`` in the order of the classes."""

    epochs: int
    peak_rate: float
    class_weights: list[float]


@dataclass(frozen=True)
class OptimiserOptions(LabelOptimiser):
    """How the loss is brought down.

    ``kind`` is AdamW or RAdam. ``schedule``: ``one-cycle`` over the whole run, or ``steps``, a tenth after
    each quarter of it. ``loss``: cross-entropy divided by the sum of its weights (``weighted``), or by
    records times classes, as ECG-DualNet has it (``published``).
    """

    kind: str = "adamw"
    schedule: str = "one-cycle"
    loss: str = "weighted"


@dataclass(frozen=True)
class AugmentationOptions:
    """Strengths (in standard deviations of the signal) and shares (0-1) of the augmentation; see ``augment``.

    Those with a value here are off where a recipe does not name them.
    """

    stretch: float
    polarity: float
    noise: float
    wander: float
    cut_out: float
    short_crop: float
    gain: float = 0.0
    mains: float = 0.0
    sensor_noise: float = 0.0
    snr_low_db: float = 0.0
    snr_high_db: float = 24.0


@dataclass(frozen=True)
class PublishedOptions:
    """The eight steps of ECG-DualNet instead, each with probability ``p``; see ``published``."""

    p: float
    faithful: bool = False


@dataclass(frozen=True)
class DistillationOptions:
    """Nets to learn from as well (Hinton, Vinyals and Dean, arXiv 1503.02531).

    ``teachers`` are names of recipes trained before, with the same output folder; ``share`` is the part of
    the loss that compares with their mean probabilities, both at ``temperature``.
    """

    teachers: list[str]
    share: float
    temperature: float


@dataclass(frozen=True)
class BaseRecipe:
    """What the recipes of all tasks have."""

    name: str
    task: str
    architecture: str
    seed: int
    net: dict[str, Any]
    preprocessing: dict[str, Any]
    optimiser: BaseOptimiser

    @property
    def spec(self) -> WindowSpec | BeatSpec:
        """The window for the frontend.

        Raises
        ------
        BundleError
            For one that cannot be.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Recipe(BaseRecipe):
    """A whole recipe. Of the two augmentations one must be there; ``distillation`` may be left out.

    ``inputs`` describe what the net takes (see ``ecgedge.features``); left out: the signal alone. ``start``
    names a recipe trained before, with the same output folder, whose weights the net starts from. ``ranges``
    is how the exporter chooses the ranges of int8 activations: from least to greatest (``min-max``), or those
    that round with the ``least-error``. ``rounded``: the net learns with the rounding of int8 (see
    ``rounding``), from the weights of a ``start``, at a low rate and for few epochs.
    """

    window: WindowOptions
    data: DataOptions
    optimiser: OptimiserOptions
    augmentation: AugmentationOptions | None = None
    published_augmentation: PublishedOptions | None = None
    distillation: DistillationOptions | None = None
    inputs: list[dict[str, Any]] = field(default_factory=lambda: [{"name": "signal", "kind": "signal"}])
    start: str | None = None
    ranges: str = "min-max"
    rounded: bool = False

    @property
    def spec(self) -> WindowSpec:
        """The window for the frontend."""
        return self.window.at(self.preprocessing["rate_hz"])


_T = TypeVar("_T")


def fill(kind: type[_T], table: dict[str, Any], where: str) -> _T:
    """Make a dataclass of a table whose keys and types are exactly its own; ``where`` names it in errors.

    Tables in it, and lists of tables, become the dataclasses that stand there.

    Raises
    ------
    DataError
        For a key that is unknown or missing, a value of another type, or a number that is not finite.
    """
    hints = get_type_hints(kind)
    table = {key: _nested(hints.get(key), value, f"{where} [{key}]") for key, value in table.items()}
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    optional = {f.name for f in fields(kind) if {f.default, f.default_factory} != {MISSING}}  # type: ignore[arg-type]
    if odd := sorted(map(str, (set(table) - known) | (known - optional - set(table)))):
        raise DataError(f"recipe {where}: keys {odd} unknown or missing", f"exactly {sorted(known)}")
    for key, wanted in hints.items():
        if key in table and not _fits(table[key], wanted):
            what = wanted.__name__ if isinstance(wanted, type) and not get_args(wanted) else str(wanted)
            raise DataError(f"recipe {where}: {key} = {table[key]!r}", f"a {what}")
    return kind(**table)


def _nested(kind: Any, value: Any, where: str) -> Any:
    """The value, or what ``fill`` makes of a table or a list of tables where ``kind`` wants that."""
    inner = next(
        (one for one in (kind, *get_args(kind)) if isinstance(one, type) and is_dataclass(one)), None
    )
    if inner is None:
        return value
    if isinstance(value, dict):
        return fill(inner, value, where)
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return [fill(inner, item, where) for item in value]
    return value


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value read from TOML may stand where ``kind`` is declared."""
    if kind in (int, float):
        return isinstance(value, (int, kind)) and finite(value)
    if get_origin(kind) is UnionType:
        return any(_fits(value, one) for one in get_args(kind))
    if get_origin(kind) is list:
        return isinstance(value, list) and all(_fits(item, get_args(kind)[0]) for item in value)
    return isinstance(value, get_origin(kind) or kind)


def _check(recipe: Recipe, where: str) -> None:
    """Refuse values that no run can use."""
    o, w, d = recipe.optimiser, recipe.window, recipe.data
    right: Rules = {
        f"[data] set = {d.set!r}": (d.set in CLASSES, f"one of {list(CLASSES)}"),
        **base_rules(recipe, CLASSES.get(d.set, ())),
        **label_rules(o, CLASSES.get(d.set, ())),
        **within("[data]", d, {"inner_share": INNER_SHARES}),
        f"[data] inner_fold = {d.inner_fold}": (
            d.inner_fold is None or 1 <= d.inner_fold <= round(1 / max(d.inner_share, INNER_SHARES[0])),
            "1 to the number of shares",
        ),
        **within("[window]", w, {"clip": CLIPS}),
        f"[window] minimum_s = {w.minimum_s}": (w.minimum_s >= 1, "1 or more"),
        f"[optimiser] kind = {o.kind!r}": (o.kind in KINDS, f"one of {list(KINDS)}"),
        f"[optimiser] schedule = {o.schedule!r}": (o.schedule in SCHEDULES, f"one of {list(SCHEDULES)}"),
        f"[optimiser] loss = {o.loss!r}": (o.loss in LOSSES, f"one of {list(LOSSES)}"),
        f"ranges = {recipe.ranges!r}": (recipe.ranges in RANGES, f"one of {list(RANGES)}"),
        f"rounded = true, architecture = {recipe.architecture!r}": (
            not recipe.rounded or recipe.architecture in ROUNDED,
            f"one of {list(ROUNDED)}, or no rounding",
        ),
        f"rounded = true, start = {recipe.start!r}": (
            not recipe.rounded or recipe.start is not None,
            "a recipe to start from: ranges are measured with the statistics of its norms",
        ),
        **named("start", [recipe.start] if recipe.start is not None else []),
    }
    if (taught := recipe.distillation) is not None:
        right |= {
            **named("[distillation] teachers", taught.teachers),
            f"[distillation] teachers = {taught.teachers}": (bool(taught.teachers), "one or more"),
            **within("[distillation]", taught, {"share": (0.001, 1), "temperature": (0.1, 100)}),
        }
    try:
        for entry in recipe.inputs:
            check_kind(entry, set())
    except BundleError as error:
        raise DataError(f"recipe {where} [[inputs]]: {error}") from None
    enforce(right | _augmentation_rules(recipe), recipe, where)
    minimum, length = (round(s * recipe.spec.rate_hz) for s in (w.minimum_s, w.length_s))
    if not minimum < length:  # there are short crops between them
        raise DataError(f"recipe {where}: [window] minimum_s = {w.minimum_s}", "less than length_s")


def _augmentation_rules(recipe: Recipe) -> Rules:
    """Those of the augmentation."""
    ours, published = recipe.augmentation, recipe.published_augmentation
    given = [k for k, v in (("augmentation", ours), ("published_augmentation", published)) if v is not None]
    rules: Rules = {
        f"tables {given}": (len(given) == 1, "[augmentation] or [published_augmentation], and one only")
    }
    if published is not None:
        rules[f"[published_augmentation] p = {published.p}"] = (0 <= published.p <= 1, "0 to 1")
        aside = sorted({entry["kind"] for entry in recipe.inputs if "kind" in entry} & (BEATS | PERSON))
        rules[f"[published_augmentation] with inputs {aside}"] = (
            not aside,
            "[augmentation]: the published steps do not tell where beats went",
        )
    return rules if ours is None else rules | strength_rules(ours)


def load(name_or_path: str) -> Recipe:
    """Read a shipped recipe by name, or any recipe by path.

    Raises
    ------
    DataError
        If it cannot be found or read, has a key unknown or missing, or a value that cannot be.
    """
    return from_table(*read_table(name_or_path))


def read_table(name_or_path: str) -> tuple[dict[str, Any], str]:
    """The tables of a shipped recipe, by name, or of any recipe, by path; and the name of its file.

    Raises
    ------
    DataError
        If it cannot be found or read.
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
    return table, path.name


def from_table(table: dict[str, Any], where: str) -> Recipe:
    """Make a recipe of nested tables; ``where`` names the file in errors."""
    made = fill(Recipe, table, where)
    _check(made, where)
    return made
