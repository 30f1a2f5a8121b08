"""What a recipe of called windows learns from: recordings of its data sets, conditioned as on the device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ecgedge.datasets import cinc2017, ludb, mitdb
from ecgedge.messages import Person
from ecgedge.training.apc.data import Recording
from ecgedge.training.apc.waves import delineated, marked, marked_p, weights
from ecgedge.training.data import condition, context_of, inner_split

if TYPE_CHECKING:
    from pathlib import Path

    from ecgedge.datasets.record import Record
    from ecgedge.messages import Floats, Signal32
    from ecgedge.training.apc.recipe import ApcRecipe

PREMATURE_ATRIAL = "AaJS"
"""MIT-BIH's codes of the beats that are sought: AAMI's class S without escape beats."""
ORDINARY = "NLR"
LUDB_LEAD = "ii"
WEIGHED_S = 300.0
"""So much of each MIT-BIH record is delineated for the weigher."""
BORROWED = {"N": 300, "A": 100}
"""Records of CinC 2017 that are borrowed, by class; in neither is a premature atrial beat to be told."""


@dataclass(frozen=True, eq=False)
class Sets:
    """All that a run learns and chooses from."""

    fit: list[Recording]
    inner: list[Recording]
    borrowed: list[Recording]
    delineated: list[Recording]
    """With the annotators' boundaries: LUDB, for the weigher."""


def load_sets(root: Path, plan: ApcRecipe, waves: Path) -> Sets:
    """Read and condition what a recipe asks for.

    Parameters
    ----------
    waves : folder where neurokit2's delineation is kept

    Raises
    ------
    DataError
        For a set or record that is missing or damaged.
    """
    fit, inner = training_lists(root, plan)
    weigher = any(step.trains == "weigher" for step in plan.steps)
    wanted = waves if weigher or plan.architecture == "danet-h" else None
    by_hand = load_ludb(root, plan) if weigher else []
    if plan.data.set == "cinc2017":
        each = [load_cinc2017(root, names, plan, "NAO", "A") for names in (fit, inner)]
        return Sets(each[0], each[1], [], by_hand)
    hard = waves if plan.architecture == "danet-h" else None
    borrowed = _borrowed(root, plan, hard) if plan.data.borrowed else []
    own = load_mitdb(root, fit, plan, wanted)
    return Sets(own, load_mitdb(root, inner, plan, hard), borrowed, by_hand)


def _borrowed(root: Path, plan: ApcRecipe, waves: Path | None) -> list[Recording]:
    """Records spread evenly over the published training list."""
    names, _ = cinc2017.published_split(root)
    known = cinc2017.labels_by_record(root)
    chosen = []
    for letter, most in BORROWED.items():
        mine = [name for name in names if cinc2017.CLASSES[known[name]] == letter]
        chosen += mine[:: max(1, len(mine) // most)][:most]
    return load_cinc2017(root, sorted(chosen), plan, "".join(BORROWED), waves=waves)


def load_mitdb(root: Path, names: list[str], recipe: ApcRecipe, waves: Path | None = None) -> list[Recording]:
    """The named MIT-BIH records, first lead.

    Manual attention stands for the whole of a record where the net takes it, for its first five minutes where
    the weigher learns from it (delineation is slow). It is made around the annotators' beats, so that it does
    not change with the detector.

    Parameters
    ----------
    waves : folder where neurokit2's delineation is kept; None: no manual attention is wanted

    Raises
    ------
    DataError
        For a set or record that is missing or damaged.
    """
    hard, rate_hz = recipe.architecture == "danet-h", recipe.spec.rate_hz
    marks = mitdb.p_waves(root) if waves is not None and not hard else {}
    out = []
    for record in mitdb.records(root, names):
        signal = condition(record.lead(), record.rate_hz, recipe.preprocessing)
        beats = [(beat.sample / record.rate_hz, beat.symbol) for beat in record.beats()]
        early, ordinary = (
            np.array([at for at, symbol in beats if symbol in kinds])
            for kinds in (PREMATURE_ATRIAL, ORDINARY)
        )
        manual = None
        if waves is not None:
            n = signal.size if hard else min(signal.size, round(WEIGHED_S * rate_hz))
            peaks_s = np.array([at for at, _ in beats if at < n / rate_hz])
            found = delineated(signal[:n], rate_hz, peaks_s, waves / f"mitdb-{record.name}-{n}.npz")
            if record.name in marks:
                by_hand = marked_p(marks[record.name], record.rate_hz)
                found = [wave for wave in found if wave.kind != "P"] + by_hand
            manual = np.full(signal.size, np.nan, dtype=np.float32)
            manual[:n] = weights(found, n, rate_hz, recipe.attention)
        out.append(Recording(record.name, signal, early, ordinary * rate_hz, weights=manual))
    return out


def load_cinc2017(
    root: Path,
    names: list[str],
    recipe: ApcRecipe,
    letters: str,
    sought: str = "",
    waves: Path | None = None,
) -> list[Recording]:
    """The named CinC 2017 records of the classes ``letters``.

    Parameters
    ----------
    sought : the class whose whole recordings are what is sought; ordinary beats are told of class N alone
    waves : see ``load_mitdb``

    Raises
    ------
    DataError
        For a set or record that is missing or damaged.
    """
    known = cinc2017.labels_by_record(root)
    wanted = [name for name in names if cinc2017.CLASSES[known[name]] in letters]
    out = []
    for record in cinc2017.records(root, wanted):
        letter = cinc2017.CLASSES[known[record.name]]
        beats, manual = np.empty(0), None
        if waves is None and (sought or letter != "N"):
            signal = condition(record.lead(), record.rate_hz, recipe.preprocessing)
        else:
            signal, peaks_s = _heard(record, recipe)
            beats = peaks_s * recipe.spec.rate_hz if letter == "N" else beats
            if waves is not None:
                found = delineated(
                    signal, recipe.spec.rate_hz, peaks_s, waves / f"cinc2017-{record.name}.npz"
                )
                manual = weights(found, signal.size, recipe.spec.rate_hz, recipe.attention)
        out.append(Recording(record.name, signal, np.empty(0), beats, letter == sought, manual))
    return out


def load_ludb(root: Path, recipe: ApcRecipe) -> list[Recording]:
    """LUDB's lead II with the manual attention of the annotators' boundaries.

    They left the incomplete cycles at both ends out: there the attention is NaN.

    Raises
    ------
    DataError
        For a set or record that is missing or damaged.
    """
    rate_hz = recipe.spec.rate_hz
    out = []
    for record in ludb.records(root, (LUDB_LEAD,)):
        signal = condition(record.lead(LUDB_LEAD), record.rate_hz, recipe.preprocessing)
        found = marked(record.annotations[LUDB_LEAD], record.rate_hz)
        manual = weights(found, signal.size, rate_hz, recipe.attention)
        if found:
            first, last = min(w.onset_s for w in found), max(w.end_s for w in found)
            manual[: max(0, int(first * rate_hz))] = np.nan
            manual[int(last * rate_hz) + 1 :] = np.nan
        else:
            manual[:] = np.nan
        out.append(Recording(f"ludb-{record.name}", signal, np.empty(0), np.empty(0), weights=manual))
    return out


def training_lists(root: Path, recipe: ApcRecipe) -> tuple[list[str], list[str]]:
    """Names of the records to fit on, and of those to choose by; all of the training list."""
    if recipe.data.set == "mitdb":
        names, _ = mitdb.inter_patient_split(root)
        inner = set(recipe.data.inner)
        return [n for n in names if n not in inner], [n for n in names if n in inner]
    names = cinc2017.published_split(root)[0][:: recipe.data.one_in]
    known = cinc2017.labels_by_record(root)
    return inner_split(names, [known[name] for name in names], recipe.data.inner_share)


def _heard(record: Record, recipe: ApcRecipe) -> tuple[Signal32, Floats]:
    """Conditioned signal, and R peaks in seconds as the device finds them."""
    raw = record.lead()
    signal = condition(raw, record.rate_hz, recipe.preprocessing)
    return signal, context_of(raw, record.rate_hz, recipe.spec.rate_hz, Person()).times_s
