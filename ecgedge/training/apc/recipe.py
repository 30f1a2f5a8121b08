"""The recipe of a net that calls windows: those with a premature atrial beat, or (set ``cinc2017``) in AF."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ecgedge.errors import DataError
from ecgedge.models.danet import NETS
from ecgedge.training.apc.waves import WeightOptions
from ecgedge.training.recipe import (
    FEWEST_STEPS,
    AugmentationOptions,
    BaseOptimiser,
    BaseRecipe,
    WindowOptions,
    fill,
    read_table,
)
from ecgedge.training.rules import (
    CLIPS,
    EPOCHS,
    INNER_SHARES,
    PEAK_RATES,
    Rules,
    base_rules,
    enforce,
    strength_rules,
    within,
)
from ecgedge.windows import WindowSpec

TASK = "apc"
CLASSES = {"mitdb": ("none", "APC"), "cinc2017": ("none", "AF")}
"""What a window is called, by data set."""
TRAINS = ("weigher", "classifier", "all")


@dataclass(frozen=True)
class DataOptions:
    """Which windows.

    ``inner`` are records of the training list kept for choosing (``mitdb``), ``inner_share`` is their share
    (``cinc2017``). Of the windows of ``mitdb`` that hold what is sought, the share ``made`` gets its early
    beat from ``premature``; of the others, as many get a beat from there that counts as none. Of these, and
    of all windows without an early beat, the share ``borrowed`` is of CinC 2017's records in sinus rhythm or
    in AF. A beat nearer than ``margin_s`` to an edge of a window counts neither way. ``one_in``: so many
    records of CinC 2017's training list stand for each that is taken.
    """

    set: str
    inner: list[str] = field(default_factory=list)
    inner_share: float = 0.0
    margin_s: float = 0.3
    made: float = 0.0
    borrowed: float = 0.0
    one_in: int = 1


@dataclass(frozen=True)
class OptimiserOptions(BaseOptimiser):
    """What all steps share; an epoch has ``epoch_windows``, ``positives`` of them with what is sought."""

    epoch_windows: int
    positives: float


@dataclass(frozen=True)
class Step:
    """One step of training: which part learns, for how long, and how fast at most (one-cycle schedule).

    ``weigher`` learns to reproduce the manual attention; ``classifier`` learns the labels, the weigher (if
    there is one) being frozen; ``all`` learns the labels end to end.
    """

    trains: str
    epochs: int
    peak_rate: float


@dataclass(frozen=True)
class ApcRecipe(BaseRecipe):
    """A whole recipe."""

    window: WindowOptions
    data: DataOptions
    attention: WeightOptions
    optimiser: OptimiserOptions
    augmentation: AugmentationOptions
    steps: list[Step]

    @property
    def classes(self) -> tuple[str, str]:
        """What the two logits stand for."""
        return CLASSES[self.data.set]

    @property
    def spec(self) -> WindowSpec:
        """The window for the frontend."""
        return self.window.at(self.preprocessing["rate_hz"])

    @property
    def length(self) -> int:
        """Samples of a window."""
        return round(self.spec.length_s * self.spec.rate_hz)


def load(name_or_path: str) -> ApcRecipe:
    """Read a shipped recipe by name, or any recipe by path; see ``training.recipe.load``."""
    return from_table(*read_table(name_or_path))


def from_table(table: dict[str, Any], where: str) -> ApcRecipe:
    """Make a recipe of nested tables; ``where`` names the file in errors."""
    made = fill(ApcRecipe, table, where)
    _check(made, where)
    return made


def _check(recipe: ApcRecipe, where: str) -> None:
    """Refuse values that no run can use."""
    d, o, w, a = recipe.data, recipe.optimiser, recipe.window, recipe.attention
    shares = (o.positives, d.made, d.borrowed)
    trains = [step.trains for step in recipe.steps]
    batches = o.epoch_windows // o.batch if o.batch > 0 else 0
    least, most = INNER_SHARES
    right: Rules = {
        f"task = {recipe.task!r}": (recipe.task == TASK, repr(TASK)),
        f"architecture = {recipe.architecture!r}": (recipe.architecture in NETS, f"one of {list(NETS)}"),
        f"[data] set = {d.set!r}": (d.set in CLASSES, f"one of {list(CLASSES)}"),
        **base_rules(recipe, CLASSES.get(d.set, ())),
        f"[data] inner = {d.inner}, inner_share = {d.inner_share}": (
            bool(d.inner) and d.inner_share == 0
            if d.set == "mitdb"
            else not d.inner and least <= d.inner_share <= most,
            f"records of mitdb, or a share of cinc2017 of {least:g} to {most:g}",
        ),
        f"[data] made, borrowed, [optimiser] positives = {shares}": (
            all(0 <= share <= 1 for share in shares) and 0 < o.positives < 1,
            "0 to 1",
        ),
        f"[data] one_in = {d.one_in}": (d.one_in > 0, "1 or more"),
        f"[data] margin_s = {d.margin_s}": (0 <= d.margin_s < w.length_s / 2, "less than half a window"),
        **within("[window]", w, {"clip": CLIPS}),
        f"[attention] {a}": (
            all(0 <= value <= 1 for value in (a.p, a.qrs, a.t, a.elsewhere)) and 0 < a.edge_s <= 1,
            "weights of 0 to 1, edge_s above 0 up to 1",
        ),
        f"[optimiser] batch = {o.batch}, epoch_windows = {o.epoch_windows}": (
            0 < o.batch <= o.epoch_windows,
            "an epoch of one batch or more",
        ),
        f"[[steps]] {trains}": (
            bool(trains) and set(trains) <= set(TRAINS),
            f"one or more of {list(TRAINS)}",
        ),
        f"[[steps]] of {[step.epochs * batches for step in recipe.steps]} batches": (
            all(step.epochs * batches >= FEWEST_STEPS for step in recipe.steps),
            f"{FEWEST_STEPS} or more",
        ),
        f"[[steps]] {trains} of {recipe.architecture!r}": (
            recipe.architecture == "danet" or "weigher" not in trains,
            "a weigher in danet only",
        ),
    }
    for number, step in enumerate(recipe.steps, 1):
        right |= within(f"[[steps]] {number}:", step, {"epochs": EPOCHS, "peak_rate": PEAK_RATES})
    enforce(right | strength_rules(recipe.augmentation), recipe, where)
    if recipe.net.get("length", recipe.length) != recipe.length:
        raise DataError(f"recipe {where} [net]: length {recipe.net['length']}", f"{recipe.length}")
