"""The recipe of a net that reads beats in a row and tells a class of each, or of minute or recording."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from ecgedge.beat_figures import INTERVALS
from ecgedge.beat_windows import KINDS, BeatSpec
from ecgedge.training.recipe import BaseRecipe, LabelOptimiser, fill, read_table
from ecgedge.training.rules import (
    CLIPS,
    EPOCHS,
    INNER_SHARES,
    PEAK_RATES,
    Limits,
    Rules,
    base_rules,
    enforce,
    label_rules,
    within,
)

TASK = "beats"
ARCHITECTURE = "ecg-sl"
CLASSES = {
    "mitdb": ("N", "S", "V", "F"),
    "cinc2017": ("N", "A", "O", "~"),
    "ptbxl": ("NORM", "MI", "STTC", "CD", "HYP"),
    "apnea-ecg": ("N", "A"),
}
"""What is told, by data set: of each beat (``mitdb``), of a recording, of a minute (``apnea-ecg``)."""
SEVERAL = {"ptbxl"}
"""Sets whose recordings may have several classes, or none."""
PER_BEAT = {"mitdb"}
BESIDE = ("svdb",)
"""Sets that may be learned from beside MIT-BIH: every record, every lead of the recipe."""
FOLDED = ("ptbxl",)
"""Sets that are published with folds, one of which is kept for choosing."""
_PRETRAINING: dict[str, Limits] = {
    **dict.fromkeys(("beat_epochs", "masked_epochs"), (0, EPOCHS[1])),
    "peak_rate": PEAK_RATES,
    "masked": (0.01, 0.99),
    "records": (0, 100_000),
}
_AUGMENTATION: dict[str, Limits] = {
    **dict.fromkeys(("polarity", "shift"), (0, 1)),
    **dict.fromkeys(("gain", "noise", "wander", "interval", "rate", "height"), (0, 10)),
}


@dataclass(frozen=True)
class WindowOptions:
    """Windows of beats, see ``beat_windows.BeatSpec``; ``clip`` in standard deviations."""

    beats: int
    emit: list[int]
    before_s: float
    after_s: float
    template_beats: int
    rhythm_beats: int
    clip: float


@dataclass(frozen=True)
class DataOptions:
    """Which recordings.

    ``leads`` are learned from, each as a recording of its own (numbers or names); the first one is scored.
    ``inner`` are recordings of the training list kept for choosing, ``inner_share`` is their share where
    they are many. ``label_share`` is the part of the training windows whose labels are used, spread evenly.
    ``weak``: so many recordings of CinC 2017 that rules tell the beats of (see ``weak``), for ``mitdb``.
    ``made``: so many of its normal recordings with early beats made in them (see ``made``), for ``mitdb``;
    the training recordings themselves are there once more with such beats, too. ``blocked``: the same with
    beats that are not conducted; ``fibrillating``: with atrial fibrillation that comes and goes. ``beside``:
    further sets with marked beats, for ``mitdb``; nothing is chosen or scored on them.
    """

    set: str
    leads: list[int | str] = field(default_factory=lambda: [0])
    inner: list[str] = field(default_factory=list)
    inner_share: float = 0.0
    label_share: float = 1.0
    weak: int = 0
    made: int = 0
    blocked: int = 0
    fibrillating: int = 0
    beside: list[str] = field(default_factory=list)

    @property
    def borrowed(self) -> tuple[int, ...]:
        """How many recordings of CinC 2017 are taken, by what is made of them."""
        return self.weak, self.made, self.blocked, self.fibrillating


@dataclass(frozen=True)
class PretrainingOptions:
    """The two stages without labels: single beats, then masked beats among others.

    They are run where their epochs are above 0, on the training windows and on ``records`` recordings of the
    CinC 2017 training list. ``masked`` is the share of the beats that stage 2 hides.
    """

    beat_epochs: int
    masked_epochs: int
    peak_rate: float = 0.002
    masked: float = 0.25
    records: int = 2000


@dataclass(frozen=True)
class AugmentationOptions:
    """Strengths, see ``augment``: in standard deviations of the template, natural logarithms, or shares."""

    gain: float = 0.0
    polarity: float = 0.0
    noise: float = 0.0
    wander: float = 0.0
    shift: float = 0.0
    interval: float = 0.0
    rate: float = 0.0
    height: float = 0.0


@dataclass(frozen=True)
class BeatRecipe(BaseRecipe):
    """A whole recipe; ``net`` leaves out what the window says (beats, samples, emit, figures, classes)."""

    window: WindowOptions
    data: DataOptions
    optimiser: LabelOptimiser
    pretraining: PretrainingOptions = PretrainingOptions(0, 0)
    augmentation: AugmentationOptions = AugmentationOptions()

    @property
    def classes(self) -> tuple[str, ...]:
        """What the logits stand for."""
        return CLASSES[self.data.set]

    @property
    def per_beat(self) -> bool:
        """Whether each beat has a class of its own."""
        return self.data.set in PER_BEAT

    @property
    def spec(self) -> BeatSpec:
        """The windows for the frontend."""
        w = self.window
        return BeatSpec(
            self.preprocessing["rate_hz"],
            w.beats,
            (w.emit[0], w.emit[1]),
            w.before_s,
            w.after_s,
            w.template_beats,
            w.rhythm_beats,
        )

    @property
    def inputs(self) -> list[dict[str, Any]]:
        """What the net takes, as ``beat_windows.make_inputs`` wants it; shapes (1, beats, columns)."""
        names = [kind.removeprefix("beat-") for kind in KINDS]
        clips = (self.window.clip, self.window.clip, 1.0)
        rows = zip(names, KINDS, clips, strict=True)
        every = [
            {"name": name, "kind": kind, "shape": [1, *self.spec.shape(kind)], "clip": clip}
            for name, kind, clip in rows
        ]
        return every if self.net.get("intervals", True) else every[:2]


def load(name_or_path: str) -> BeatRecipe:
    """Read a shipped recipe by name, or any recipe by path; see ``training.recipe.load``."""
    return from_table(*read_table(name_or_path))


def from_table(table: dict[str, Any], where: str) -> BeatRecipe:
    """Make a recipe of nested tables; ``where`` names the file in errors."""
    made = fill(BeatRecipe, table, where)
    _check(made, where)
    return replace(made, net=_whole(made))


def _whole(recipe: BeatRecipe) -> dict[str, Any]:
    """The options of the net with those that follow from window and data."""
    given: dict[str, Any] = {
        "beats": recipe.window.beats,
        "samples": recipe.spec.samples,
        "figures": len(INTERVALS),
        "classes": len(recipe.classes),
    }
    if recipe.per_beat:
        given["emit"] = list(recipe.window.emit)
    return {**recipe.net, **given}


def _check(recipe: BeatRecipe, where: str) -> None:
    """Refuse values that no run can use."""
    d, w = recipe.data, recipe.window
    least, most = INNER_SHARES
    right: Rules = {
        f"task = {recipe.task!r}": (recipe.task == TASK, repr(TASK)),
        f"architecture = {recipe.architecture!r}": (recipe.architecture == ARCHITECTURE, ARCHITECTURE),
        f"[data] set = {d.set!r}": (d.set in CLASSES, f"one of {list(CLASSES)}"),
        **base_rules(recipe, CLASSES.get(d.set, ())),
        **label_rules(recipe.optimiser, CLASSES.get(d.set, ())),
        f"[data] leads = {d.leads}": (bool(d.leads), "one or more"),
        f"[data] inner = {d.inner}, inner_share = {d.inner_share}": (
            d.inner_share == 0 and bool(d.inner) == (d.set not in FOLDED)
            if d.inner or d.set in FOLDED
            else least <= d.inner_share <= most,
            f"names of recordings, or a share of them of {least:g} to {most:g}; nothing for {list(FOLDED)}",
        ),
        **within("[data]", d, {"label_share": (0.001, 1)}),
        f"[data] weak, made, blocked, fibrillating = {d.borrowed}": (
            min(d.borrowed) >= 0 and (d.set in PER_BEAT or not any(d.borrowed)),
            "0, or set mitdb",
        ),
        f"[data] beside = {d.beside}": (
            not d.beside or (d.set in PER_BEAT and set(d.beside) <= set(BESIDE)),
            f"none, or, beside mitdb, some of {list(BESIDE)}",
        ),
        f"[window] emit = {w.emit}": (len(w.emit) == 2, "the first place, and one past the last"),
        **within("[window]", w, {"clip": CLIPS}),
        **within("[pretraining]", recipe.pretraining, _PRETRAINING),
        **within("[augmentation]", recipe.augmentation, _AUGMENTATION),
        f"[net] pooling = {recipe.net.get('pooling', 'none')!r}": (
            d.set not in CLASSES or (recipe.net.get("pooling", "none") == "none") == recipe.per_beat,
            "none where each beat has a class, attention or mean where it has not",
        ),
    }
    enforce(right, recipe, where)
