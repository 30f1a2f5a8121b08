"""What a recipe of beats learns from: recordings of its data set, or pieces of them, as windows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ecgedge.datasets import apnea, cinc2017, longterm, mitdb, ptbxl
from ecgedge.errors import DataError
from ecgedge.recordings.annotations import Annotation
from ecgedge.training.beats import made
from ecgedge.training.beats.data import (
    NONE,
    SYMBOLS,
    BeatSet,
    find_beats,
    match,
    rows_of,
    stack,
    windows_of,
)
from ecgedge.training.beats.recipe import SEVERAL
from ecgedge.training.beats.weak import by_rules, telling
from ecgedge.training.data import inner_split

if TYPE_CHECKING:
    from pathlib import Path

    from ecgedge.beat_windows import BeatWindow
    from ecgedge.datasets.record import Record
    from ecgedge.messages import Beat, Floats
    from ecgedge.training.beats.recipe import BeatRecipe

BESIDE = {"N": 1.5, "A": 1.0}
"""So many windows of normal recordings and of ones in AF for each of those that rules tell other beats of."""
IRREGULAR = ("AFIB", "AFL", "SVTA", "NOD", "VFL")
"""Rhythms in which no others are made."""
DENSITY = {"mitdb": 0.04, "cinc2017": 0.08}
"""Events of early beats that are made, a beat; recordings of CinC 2017 are short."""
FEWEST = 8
"""Beats of a recording in which other rhythms are made."""
SPARED = 0.2
"""Share of the recordings of CinC 2017 without made beats: their rate alone is changed."""
THIN = 5
"""One window of so many is learned from where fibrillation is made: more of them cost runs of early beats."""
SHORTEST_S = 2.0
"""A shorter piece holds no rhythm."""
FOLDS = {"fit": {str(k) for k in range(1, 9)}, "inner": {"9"}}
"""Of PTB-XL, as its authors recommend; the tenth is for the final table."""


@dataclass(frozen=True, eq=False)
class Piece:
    """A lead of a recording, or a part of one, with what is told of it."""

    signal: Floats
    """Shape (n,)."""
    rate_hz: float
    told: tuple[Annotation, ...] | list[int]
    """Marks of beats; or what a window's row of labels is."""


@dataclass(frozen=True, eq=False)
class Sets:
    """Windows to fit on, to choose by, and to learn from without labels."""

    fit: BeatSet
    inner: BeatSet
    unlabelled: BeatSet


def load_sets(root: Path, plan: BeatRecipe) -> Sets:
    """Read what a recipe asks for, each of its leads; inner windows are of the first lead.

    Raises
    ------
    DataError
        For a set or record that is missing or damaged, or inner records that are not there.
    """
    fit_names, inner_names = names_of(root, plan)
    fit = BeatSet.join(
        [windows(pieces(root, plan, fit_names, lead), plan) for lead in range(len(plan.data.leads))]
    )
    inner = windows(pieces(root, plan, inner_names, 0), plan)
    if not len(fit) or not len(inner):
        raise DataError(f"{len(fit)} windows to fit on, {len(inner)} to choose by", "some of each")
    borrowed, rhythms = _cinc(root, plan, max(plan.data.weak, _wanted(plan)))
    unlabelled = BeatSet.join([fit, borrowed.take(_among(borrowed.records, len(rhythms), _wanted(plan)))])
    if plan.data.label_share < 1:
        fit = fit.take(np.arange(0, len(fit), round(1 / plan.data.label_share)))
    if plan.data.beside:
        fit = BeatSet.join([fit, windows(pieces_beside(root, plan), plan)])
    if plan.data.weak:
        fit = BeatSet.join([fit, _weak(borrowed, rhythms, plan)])
    if plan.data.made:
        fit = BeatSet.join([fit, windows(made_pieces(root, plan, fit_names), plan)])
    if plan.data.blocked:
        fit = BeatSet.join([fit, windows(blocked_pieces(root, plan, fit_names), plan)])
    if plan.data.fibrillating:
        found = windows(fibrillating_pieces(root, plan, fit_names), plan)
        fit = BeatSet.join([fit, found.take(np.arange(0, len(found), THIN))])
    return Sets(fit, inner, unlabelled)


def _wanted(plan: BeatRecipe) -> int:
    """Recordings of CinC 2017 that pre-training takes."""
    p = plan.pretraining
    return p.records if p.beat_epochs or p.masked_epochs else 0


def _among(records: npt.NDArray[np.int32], n: int, wanted: int) -> npt.NDArray[np.bool_]:
    """Which windows are of ``wanted`` recordings spread evenly over all ``n``, shape (windows,)."""
    chosen = np.linspace(0, n - 1, min(n, wanted)).round() if wanted else np.empty(0)
    return np.isin(records, chosen)


def names_of(root: Path, plan: BeatRecipe) -> tuple[set[str], set[str]]:
    """Names of the recordings to fit on and to choose by, or folds of PTB-XL.

    Raises
    ------
    DataError
        If the recipe names inner recordings that the training list has not.
    """
    d = plan.data
    if d.set == "ptbxl":
        return FOLDS["fit"], FOLDS["inner"]
    if d.set == "mitdb":
        training = mitdb.inter_patient_split(root)[0]
    elif d.set == "cinc2017":
        training = cinc2017.published_split(root)[0]
    else:
        training = apnea.released(root)
    if odd := sorted(set(d.inner) - set(training)):
        raise DataError(f"recipe {plan.name}: inner recordings {odd}", f"some of {len(training)} of {d.set}")
    if d.inner:
        return set(training) - set(d.inner), set(d.inner)
    known = cinc2017.labels_by_record(root) if d.set == "cinc2017" else dict.fromkeys(training, 0)
    fit, inner = inner_split(training, [known[name] for name in training], d.inner_share)
    return set(fit), set(inner)


def pieces(root: Path, plan: BeatRecipe, names: set[str], lead: int) -> Iterator[Piece]:
    """Pieces of the named recordings; ``lead`` counts those of the recipe."""
    which = plan.data.leads[lead]
    for record in _RECORDS[plan.data.set](root, sorted(names)):
        if plan.data.set != "ptbxl" or record.labels["fold"][0] in names:
            yield from _cut(record, record.lead(which), plan)


def pieces_beside(root: Path, plan: BeatRecipe) -> Iterator[Piece]:
    """Every record of the sets that are learned from as well, each lead."""
    for name in plan.data.beside:
        for record in longterm.records(root, name):
            for lead in plan.data.leads:
                yield Piece(record.lead(lead), record.rate_hz, record.beats())


_RECORDS: dict[str, Callable[[Path, list[str]], Iterable[Record]]] = {
    "mitdb": mitdb.records,
    "cinc2017": cinc2017.records,
    "ptbxl": lambda root, _: ptbxl.records(root),
    "apnea-ecg": apnea.records,
}


def _cut(record: Record, signal: Floats, plan: BeatRecipe) -> Iterator[Piece]:
    """A recording as pieces of which one thing is told."""
    if plan.per_beat:
        yield Piece(signal, record.rate_hz, record.beats())
    elif plan.data.set == "cinc2017":
        yield Piece(signal, record.rate_hz, [cinc2017.class_of(record)])
    elif plan.data.set == "ptbxl":
        told = record.labels["superclass"]
        yield Piece(signal, record.rate_hz, [int(name in told) for name in plan.classes])
    else:
        for begin, letter in apnea.minutes(record):
            minute = signal[begin : begin + round(60 * record.rate_hz)]
            yield Piece(minute, record.rate_hz, [plan.classes.index(letter)])


def windows(found: Iterable[Piece], plan: BeatRecipe) -> BeatSet:
    """All windows of all pieces; a piece of less than ``SHORTEST_S`` has none."""
    cut, rows = [], []
    for piece in found:
        if piece.signal.size < SHORTEST_S * piece.rate_hz:
            continue
        signal = np.nan_to_num(piece.signal)
        beats = find_beats(signal, piece.rate_hz)
        part = windows_of(signal, piece.rate_hz, plan.spec, plan.preprocessing, beats)
        cut.append(part)
        rows.append(_rows(piece, part, beats, plan))
    return stack(cut, rows, plan.spec, plan.window.clip)


def _rows(piece: Piece, part: list[BeatWindow], beats: list[Beat], plan: BeatRecipe) -> npt.NDArray[np.int8]:
    """What is told of a piece's windows, a row each."""
    if isinstance(piece.told, list):
        return np.tile(np.array(piece.told, dtype=np.int8), (len(part), 1))
    return rows_of(part, match(beats, piece.told, piece.rate_hz), plan.spec)


def _cinc(root: Path, plan: BeatRecipe, most: int) -> tuple[BeatSet, str]:
    """Windows of up to ``most`` recordings of CinC 2017's training list, without labels, and their rhythms.

    They are spread evenly over the list.
    """
    names, _ = cinc2017.published_split(root)
    found: list[Piece] = []
    rhythms = ""
    if most:
        chosen = names[:: max(1, len(names) // most)][:most]
        for record in cinc2017.records(root, chosen):
            rhythms += cinc2017.CLASSES[cinc2017.class_of(record)]
            found.append(Piece(record.lead(), record.rate_hz, [NONE] * _columns(plan)))
    return windows(found, plan), rhythms


def _columns(plan: BeatRecipe) -> int:
    """Of a window's row of labels."""
    if plan.per_beat:
        return plan.spec.reported
    return len(plan.classes) if plan.data.set in SEVERAL else 1


def _weak(borrowed: BeatSet, rhythms: str, plan: BeatRecipe) -> BeatSet:
    """Recordings with other beats than N by the rules, and of others as ``BESIDE`` says."""
    borrowed.labels = by_rules(borrowed, rhythms, plan.spec)
    kept = telling(borrowed.labels, borrowed.records)
    told = int(kept.sum())
    for letter, share in BESIDE.items():
        mine = np.flatnonzero(np.array(list(rhythms))[borrowed.records] == letter)
        kept[mine[np.linspace(0, len(mine) - 1, min(len(mine), round(share * told))).astype(int)]] = True
    return borrowed.take(kept)


def made_pieces(root: Path, plan: BeatRecipe, names: set[str]) -> Iterator[Piece]:
    """The named records of MIT-BIH, each lead, and normal recordings of CinC 2017 with made early beats."""
    luck = np.random.default_rng(plan.seed)
    for one in _ordinary(root, plan, names, plan.data.made):
        spared = one.set == "cinc2017" and luck.random() <= SPARED
        density = 0.0 if spared else DENSITY[one.set]
        changed, at, early = made.make(one.signal, one.rate_hz, one.peaks, one.free, density, luck)
        rows = zip(at, early, one.symbols, strict=True)
        yield Piece(changed, one.rate_hz, tuple(Annotation(int(s), "A" if e else own) for s, e, own in rows))


def blocked_pieces(root: Path, plan: BeatRecipe, names: set[str]) -> Iterator[Piece]:
    """The same with beats that are not conducted."""
    luck = np.random.default_rng([plan.seed, 1])
    for one in _ordinary(root, plan, names, plan.data.blocked):
        changed, conducted = made.block(one.signal, one.rate_hz, one.peaks, one.free, luck)
        rows = zip(one.peaks, conducted, one.symbols, strict=True)
        yield Piece(changed, one.rate_hz, tuple(Annotation(int(s), own) for s, there, own in rows if there))


def fibrillating_pieces(root: Path, plan: BeatRecipe, names: set[str]) -> Iterator[Piece]:
    """The same with atrial fibrillation that comes and goes; its beats keep their classes."""
    luck = np.random.default_rng([plan.seed, 2])
    for one in _ordinary(root, plan, names, plan.data.fibrillating):
        changed, at, _ = made.fibrillate(one.signal, one.rate_hz, one.peaks, one.free, luck)
        rows = zip(at, one.symbols, strict=True)
        yield Piece(changed, one.rate_hz, tuple(Annotation(int(s), own) for s, own in rows))


@dataclass(frozen=True, eq=False)
class _Ordinary:
    """A lead to make other rhythms of."""

    set: str
    signal: Floats
    """Shape (n,)."""
    rate_hz: float
    peaks: npt.NDArray[np.int64]
    symbols: list[str]
    free: npt.NDArray[np.bool_]
    """Which beats are ordinary ones of a regular rhythm."""


def _ordinary(root: Path, plan: BeatRecipe, names: set[str], n: int) -> Iterator[_Ordinary]:
    """The named records of MIT-BIH, each lead, and up to ``n`` normal recordings of CinC 2017."""
    for record in mitdb.records(root, sorted(names)):
        marks = [mark for mark in record.beats() if mark.symbol in SYMBOLS]
        peaks = np.array([mark.sample for mark in marks])
        since, rhythms = zip(*record.rhythms(), strict=True)
        now = np.array(rhythms)[np.maximum(np.searchsorted(since, peaks, side="right") - 1, 0)]
        ordinary = np.array([SYMBOLS[mark.symbol] == "N" for mark in marks])
        symbols = [mark.symbol for mark in marks]
        free = ordinary & ~np.isin(now, IRREGULAR)
        for lead in plan.data.leads:
            signal = np.nan_to_num(record.lead(lead))
            yield _Ordinary("mitdb", signal, record.rate_hz, peaks, symbols, free)
    known, (training, _) = cinc2017.labels_by_record(root), cinc2017.published_split(root)
    normal = [name for name in training if known[name] == cinc2017.CLASSES.index("N")]
    chosen = np.linspace(0, len(normal) - 1, min(len(normal), n)).round().astype(int)
    for record in cinc2017.records(root, [normal[k] for k in chosen]):
        signal = np.nan_to_num(record.lead())
        peaks = np.array([beat.sample for beat in find_beats(signal, record.rate_hz)], dtype=np.int64)
        if peaks.size >= FEWEST:
            every = np.ones(peaks.size, dtype=bool)
            yield _Ordinary("cinc2017", signal, record.rate_hz, peaks, ["N"] * peaks.size, every)
