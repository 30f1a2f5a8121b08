"""``ecgedge evaluate`` for a beat model: beat by beat, on whole recordings, with the device's own beats.

Beats are paired with the annotators' by ``ecgedge.scoring`` (150 ms, from the first beat on); escape beats
count as N, as in training (de Chazal et al. 2004).
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ecgedge.beat_windows import BeatSpec, make_inputs
from ecgedge.bundle import open_bundle
from ecgedge.classifier import Classifier
from ecgedge.datasets import mitdb
from ecgedge.errors import DataError, UsageError
from ecgedge.recordings.annotations import Annotation
from ecgedge.scoring.beats import BeatCounts, compare_beats
from ecgedge.scoring.marks import AAMI
from ecgedge.training import checkpoint
from ecgedge.training.beats import recipe as recipes
from ecgedge.training.beats.data import CLASSES, SYMBOLS, find_beats, stack, windows_of
from ecgedge.training.beats.run import logits_of
from ecgedge.training.beats.sets import names_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ecgedge.beat_windows import BeatWindow
    from ecgedge.datasets.record import Record
    from ecgedge.messages import Floats

SET = "mitdb"
SPLITS = ("inner", "test")
"""The recipe's inner records of DS1; DS2, for the final table."""
HARD = "232"
"""A record of DS2 with three quarters of its supraventricular beats: figures stand with and without it."""
DRAWS, SEED = 1000, 0


@dataclass(frozen=True)
class Model:
    """What can be evaluated."""

    name: str
    arithmetic: str
    """``float32`` (checkpoint) or ``int8`` (bundle)."""
    sha256: str
    spec: BeatSpec
    preprocessing: dict[str, Any]
    inner: list[str] | None
    """Names of its inner records; None where no recipe tells."""
    logits: Callable[[list[BeatWindow]], Floats]
    """Of all beats that the windows report, in order, shape (beats, classes)."""


def open_model(word: str, root: Path, int8: bool = False) -> Model:
    """Open a checkpoint (``.pt``) or a bundle (name, or path of its manifest or model).

    ``int8`` takes the bundle that a checkpoint was made into, by name.

    Raises
    ------
    DataError, BundleError, UsageError
        If it cannot be read, or tells something else than the classes of beats.
    """
    path = Path(word)
    if path.suffix == ".pt" and not int8:
        return float_model(path, root)
    name = checkpoint.name_and_task(path)[0] if path.suffix == ".pt" else word
    bundle = open_bundle(name)
    if bundle.classes != list(CLASSES):
        raise UsageError(f"{bundle.name} knows {bundle.classes}", f"the classes {list(CLASSES)}")
    classifier, inputs = Classifier(bundle), bundle.manifest["inputs"]

    def logits(windows: list[BeatWindow]) -> Floats:
        rows = [
            classifier.logits(make_inputs(inputs, w)).reshape(-1, len(CLASSES))[: len(w.beats)]
            for w in windows
        ]
        return np.concatenate([np.empty((0, len(CLASSES))), *rows])

    try:
        inner: list[str] | None = sorted(names_of(root, recipes.load(bundle.name))[1])
    except DataError:
        inner = None
    sha = hashlib.sha256(bundle.model).hexdigest()
    preprocessing = bundle.manifest["preprocessing"]
    return Model(bundle.name, "int8", sha, bundle.row, preprocessing, inner, logits)


def float_model(path: Path, root: Path) -> Model:
    """A checkpoint."""
    trained = checkpoint.load_as(path, recipes.from_table)
    plan = trained.recipe
    if plan.data.set != SET:
        raise UsageError(f"{path.name} is of {plan.data.set}", f"{SET}: only there each beat has a class")

    def logits(windows: list[BeatWindow]) -> Floats:
        rows = np.zeros((len(windows), plan.spec.reported), dtype=np.int8)
        made = logits_of(trained.net, stack([windows], [rows], plan.spec, plan.window.clip))
        parts = [row[: len(w.beats)] for row, w in zip(made, windows, strict=True)]
        return np.concatenate([np.empty((0, len(CLASSES))), *parts])

    sha = hashlib.sha256(path.read_bytes()).hexdigest()
    inner = sorted(names_of(root, plan)[1])
    return Model(plan.name, "float32", sha, plan.spec, plan.preprocessing, inner, logits)


def names_in(root: Path, split: str, model: Model) -> list[str]:
    """Names of the records of a split.

    Raises
    ------
    UsageError
        For an unknown split, or inner records that nothing tells.
    """
    if split not in SPLITS:
        raise UsageError(f"--split {split}", f"one of {', '.join(SPLITS)}")
    if split == "test":
        return mitdb.inter_patient_split(root)[1]
    if model.inner is None:
        raise UsageError("--split inner of a bundle without a recipe of its name", "--split test")
    return model.inner


def told_beats(model: Model, record: Record) -> tuple[list[Any], Floats]:
    """The beats of a record's first lead and their logits, shape (beats, classes)."""
    signal = np.nan_to_num(record.lead())
    beats = find_beats(signal, record.rate_hz)
    windows = windows_of(signal, record.rate_hz, model.spec, model.preprocessing, beats)
    return beats, model.logits(windows)


def count(record: Record, beats: Sequence[Any], classes: npt.NDArray[Any]) -> BeatCounts:
    """EC57's comparison of a record's beats, of which ``classes`` holds the numbers, shape (beats,)."""
    said = [Annotation(beat.sample, CLASSES[k]) for beat, k in zip(beats, classes.tolist(), strict=True)]
    return compare_beats(reference(record), said, rate_hz=record.rate_hz, skip_s=0.0)


def reference(record: Record) -> list[Annotation]:
    """The annotators' marks, those of beats by class."""
    marks = record.annotations["atr"]
    return [replace(m, symbol=SYMBOLS.get(m.symbol, "Q")) if m.symbol in AAMI else m for m in marks]


def evaluate(model: Model, root: Path, split: str = "inner") -> dict[str, BeatCounts]:
    """Counts of every record of a split.

    Raises
    ------
    UsageError, DataError
        For an unknown split, or a set that is missing or damaged.
    """
    out: dict[str, BeatCounts] = {}
    names = names_in(root, split, model)
    for record in mitdb.records(root, names):
        beats, logits = told_beats(model, record)
        out[record.name] = count(record, beats, logits.argmax(axis=1))
        if sys.stderr.isatty():
            print(f"\r\x1b[Krecord {len(out)}/{len(names)}", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    return out


def figures(counts: dict[str, BeatCounts]) -> dict[str, Any]:
    """Sensitivity, +P and F1 of each class over all records, with 95 % intervals by bootstrap over records.

    +P and F1 by EC57: a fusion beat called V, or a V called F, is not held against V.
    """
    every = list(counts.values())
    out = _point(every)
    rng = np.random.default_rng(SEED)
    draws = [_point([every[k] for k in rng.integers(0, len(every), len(every))]) for _ in range(DRAWS)]
    for name, row in out.items():
        if isinstance(row, dict):
            for key in ("sensitivity", "ppv", "f1"):
                row[f"{key}_interval"] = _interval([draw[name][key] for draw in draws])
    out["macro_f1_interval"] = _interval([draw["macro_f1"] for draw in draws])
    return out


def _point(every: list[BeatCounts]) -> dict[str, Any]:
    total = sum(every, BeatCounts())
    out: dict[str, Any] = {}
    forgiven = {"N": "Q", "S": "Q", "V": "FQ", "F": "Q"}
    for name in CLASSES:
        hits = total.count(name, name)
        truth = total.count(name, "NSVFQOX")
        false = total.count("".join(set("NSVFOX") - {name} - set(forgiven[name])), name)
        se, ppv = hits / truth if truth else None, hits / (hits + false) if hits + false else None
        f1 = 2 * se * ppv / (se + ppv) if se and ppv else (0.0 if truth else None)
        out[name] = {"beats": truth, "hits": hits, "false": false}
        out[name] |= {"sensitivity": _round(se), "ppv": _round(ppv), "f1": _round(f1)}
    out["macro_f1"] = _round(float(np.mean([out[name]["f1"] or 0.0 for name in "NSV"])))
    return out


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _interval(values: list[float | None]) -> list[float] | None:
    known = [v for v in values if v is not None]
    return [round(float(v), 4) for v in np.quantile(known, [0.025, 0.975])] if known else None
