"""Recordings -> windows for training and scoring, with their label and, where wanted, manual attention.

Signals come from the device's conditioning, beats from its detector, windows from its windower. What a window
is called follows from the annotators' beats: APC where one of A, a, J or S lies in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ecgedge.datasets import cinc2017, ludb, mitdb
from ecgedge.features import normalise, pad
from ecgedge.messages import Person
from ecgedge.training.apc import premature
from ecgedge.training.apc.waves import delineated, marked, marked_p, weights
from ecgedge.training.augment import augment
from ecgedge.training.data import condition, context_of, inner_split, record_windows

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from ecgedge.datasets.record import Record
    from ecgedge.messages import Floats, Signal32
    from ecgedge.training.apc.recipe import ApcRecipe
    from ecgedge.training.noise import Noise

PREMATURE_ATRIAL = "AaJS"
"""MIT-BIH's codes of the beats that are sought: AAMI's class S without escape beats."""
ORDINARY = "NLR"
LUDB_LEAD = "ii"
EXTRA_S = 1.2
"""Signal taken beyond a window, of which a made early beat leaves some out."""
TRIES = 40
WEIGHED_S = 300.0
"""So much of each MIT-BIH record is delineated for the weigher."""


@dataclass(frozen=True, eq=False)
class Recording:
    """One recording after conditioning."""

    name: str
    signal: Signal32
    """Shape (n,), at the model's rate."""
    early_s: Floats
    """Annotated premature atrial beats."""
    ordinary: Floats
    """R peaks, samples, of beats that ``premature`` may move."""
    positive: bool = False
    """Whether the whole recording is what is sought."""
    weights: Signal32 | None = None
    """Manual attention, shape (n,); NaN where annotators say nothing."""

    def label(self, begin_s: float, seconds: float, margin_s: float) -> int | None:
        """1 where a window holds what is sought, 0 where it does not, None where it is nearly cut off."""
        if self.positive:
            return 1
        end_s = begin_s + seconds
        inside = self.early_s[(self.early_s >= begin_s) & (self.early_s < end_s)]
        if not inside.size:
            return 0
        clear = (inside >= begin_s + margin_s) & (inside < end_s - margin_s)
        return 1 if clear.any() else None


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


class Pieces:
    """Draws windows for training: labelled ones, or ones with manual attention.

    Parameters
    ----------
    own : recordings of the recipe's set to fit on
    borrowed : recordings without what is sought, of which early beats are made and negatives taken as well
    """

    def __init__(
        self, own: Sequence[Recording], borrowed: Sequence[Recording], recipe: ApcRecipe, noise: Noise
    ) -> None:
        self._own, self._noise = list(own), noise
        # Those whose beats may be moved and the others (in AF) are as likely.
        kinds = [[r for r in borrowed if bool(r.ordinary.size) == even] for even in (True, False)]
        self._borrowed = [kind for kind in kinds if kind]
        self._recipe, self._rate = recipe, recipe.spec.rate_hz
        self._length = recipe.length
        found = [1.0 if r.positive else float(r.early_s.size) for r in own]
        # The square root: no one person's beats shall stand for all.
        self._shares = np.sqrt(found) / max(np.sqrt(found).sum(), 1e-9)
        self._negative = [r for r in own if not r.positive]

    def labelled(self, rng: np.random.Generator) -> tuple[Signal32, Signal32 | None, int]:
        """Normalised signal (length,), its manual attention where there is any, and its label."""
        options = self._recipe.data
        wanted = int(rng.random() < self._recipe.optimiser.positives)
        for _ in range(TRIES):
            made = bool(wanted) and rng.random() < options.made
            drawn = self._made(rng, wanted) if made else self._real(rng, wanted)
            if drawn is not None:
                signal, attention = drawn
                return self._finished(signal, rng), attention, wanted
        return self.labelled(rng)

    def weighted(self, rng: np.random.Generator) -> tuple[Signal32, Signal32]:
        """Normalised signal and manual attention of a window anywhere, NaN where it is not known."""
        recording = self._own[int(rng.integers(len(self._own)))]
        assert recording.weights is not None, "recordings for this step are loaded with it"
        size = recording.signal.size
        if size > 2 * self._length:  # a long recording, known up to some moment
            size = int(np.flatnonzero(~np.isnan(recording.weights))[-1]) + 1
        start, source = self._place(size, self._length, rng)
        signal, attention = self._cut(recording, start, source, self._length)
        assert attention is not None, "recordings for this step are loaded with it"
        return self._finished(signal, rng), attention

    def _real(self, rng: np.random.Generator, wanted: int) -> tuple[Signal32, Signal32 | None] | None:
        """A window as it was recorded; None where its label is not the wanted one."""
        recording, around = self._pick(rng, wanted)
        start, source = self._place(recording.signal.size, self._length, rng, around)
        begin_s, seconds = start / self._rate, source / self._rate
        margin_s = self._recipe.data.margin_s * source / self._length
        if recording.label(begin_s, seconds, margin_s) != wanted:
            return None
        if not wanted and rng.random() < self._recipe.data.made:
            return self._with_moved(recording, rng, premature.HARDLY)
        return self._cut(recording, start, source, self._length)

    def _made(self, rng: np.random.Generator, wanted: int) -> tuple[Signal32, Signal32 | None] | None:
        recording = self._pick(rng, 0)[0]
        return self._with_moved(recording, rng, premature.EARLY)

    def _pick(self, rng: np.random.Generator, wanted: int) -> tuple[Recording, float | None]:
        """A recording, and the sample of an early beat that the window should hold."""
        if wanted:
            recording = self._own[int(rng.choice(len(self._own), p=self._shares))]
            if recording.positive:
                return recording, None
            return recording, float(rng.choice(recording.early_s)) * self._rate
        if self._borrowed and rng.random() < self._recipe.data.borrowed:
            kind = self._borrowed[int(rng.integers(len(self._borrowed)))]
            return kind[int(rng.integers(len(kind)))], None
        return self._negative[int(rng.integers(len(self._negative)))], None

    def _with_moved(
        self, recording: Recording, rng: np.random.Generator, share: tuple[float, float]
    ) -> tuple[Signal32, Signal32 | None] | None:
        """A window without an early beat, one of whose beats is then moved; None where none will do."""
        whole = self._length + int(EXTRA_S * self._rate)
        if recording.signal.size < whole:
            return None
        start, source = self._place(recording.signal.size, whole, rng)
        if recording.label(start / self._rate, source / self._rate, 0.0) != 0:
            return None
        signal, attention = self._cut(recording, start, source, whole)
        beats = (recording.ordinary - start) * (whole - 1) / (source - 1)
        beats = beats[(beats >= 0) & (beats < self._length - self._recipe.data.margin_s * self._rate)]
        advance = premature.choose(premature.room(beats, whole, self._rate), self._rate, share, rng)
        if advance is None:
            return None
        signal = premature.moved(signal, self._rate, advance)
        if attention is not None:
            low = self._recipe.attention.elsewhere
            attention = premature.moved_weights(attention, self._rate, advance, low)[: self._length]
        return signal[: self._length], attention

    def _place(
        self, size: int, wanted: int, rng: np.random.Generator, around: float | None = None
    ) -> tuple[int, int]:
        """First sample and length of a piece to be stretched to ``wanted`` samples."""
        stretch = self._recipe.augmentation.stretch
        source = min(size, int(wanted * rng.uniform(1 - stretch, 1 + stretch)))
        low, high = 0, size - source
        if around is not None:
            margin = self._recipe.data.margin_s * self._rate
            low = max(low, int(around - source + margin))
            high = min(high, int(around - margin))
        return int(rng.integers(low, max(low, high) + 1)), source

    def _cut(
        self, recording: Recording, start: int, source: int, wanted: int
    ) -> tuple[Signal32, Signal32 | None]:
        start = min(start, recording.signal.size - source)
        n = wanted if source > wanted * (1 - self._recipe.augmentation.stretch) - 2 else source
        at = np.linspace(start, start + source - 1, n)
        here = np.arange(start, start + source)

        def taken(values: Signal32) -> Signal32:
            return np.interp(at, here, values[start : start + source]).astype(np.float32)

        attention = None if recording.weights is None else taken(recording.weights)
        return taken(recording.signal), attention

    def _finished(self, signal: Signal32, rng: np.random.Generator) -> Signal32:
        """Augmented, then as the device normalises and pads it."""
        out = augment(signal, self._rate, self._recipe.augmentation, rng, self._noise)
        return pad(normalise(out, self._recipe.window.clip), self._length)


class StepWindows(Dataset[tuple[Tensor, ...]]):
    """The windows of one step's epochs: its index is (epoch, number).

    A window's luck is drawn from seed, step, epoch and number alone: it is the same after a resumption and in
    any number of loader processes. Items are (signal, attention, label) without what the step does not use;
    signal and attention (1, 1, length).
    """

    def __init__(self, pieces: Pieces, recipe: ApcRecipe, number: int) -> None:
        self._pieces, self._recipe, self._number = pieces, recipe, number
        self._weigher = recipe.steps[number].trains == "weigher"
        self._hard = recipe.architecture == "danet-h"

    def __len__(self) -> int:
        return self._recipe.optimiser.epoch_windows

    def __getitem__(self, at: tuple[int, int]) -> tuple[Tensor, ...]:
        rng = np.random.default_rng((self._recipe.seed, self._number, *at))
        if self._weigher:
            return tuple(_row(values) for values in self._pieces.weighted(rng))
        signal, attention, label = self._pieces.labelled(rng)
        told = torch.tensor(label)
        if self._hard:
            assert attention is not None, "recordings for this net are loaded with it"
            return _row(signal), _row(pad(attention, self._recipe.length)), told
        return _row(signal), told


def _row(values: Signal32) -> Tensor:
    return torch.from_numpy(values)[None, None]


@dataclass(frozen=True, eq=False)
class Scorable:
    """All windows of recordings as the device cuts them, those of an unclear label left out."""

    names: list[str]
    """Recording of each window."""
    begin_s: Floats
    labels: npt.NDArray[np.int64]
    signals: Signal32
    """Normalised, shape (windows, length)."""
    weights: Signal32 | None
    """Manual attention, the same shape."""
    unclear: int
    """Windows left out."""

    def inputs(self, part: slice, names: Sequence[str]) -> list[Tensor]:
        """What a net takes, each (n, 1, 1, length)."""
        columns = {"signal": self.signals, "weights": self.weights}
        return [torch.from_numpy(columns[name][part])[:, None, None] for name in names]  # type: ignore[index]


def scorable(recordings: Sequence[Recording], recipe: ApcRecipe) -> Scorable:
    """Cut recordings into windows."""
    names, begins, labels, signals, manual, unclear = [], [], [], [], [], 0
    for recording in recordings:
        for window in record_windows(recording.signal, recipe.spec):
            label = recording.label(window.time_s, window.seconds, recipe.data.margin_s)
            if label is None:
                unclear += 1
                continue
            names.append(recording.name)
            begins.append(window.time_s)
            labels.append(label)
            signals.append(pad(normalise(window.signal, recipe.window.clip), recipe.length))
            if recording.weights is not None:
                first = round(window.time_s * recipe.spec.rate_hz)
                piece = recording.weights[first : first + window.signal.size]
                manual.append(pad(piece, recipe.length))
    return Scorable(
        names,
        np.array(begins),
        np.array(labels, dtype=np.int64),
        np.array(signals),
        np.array(manual) if manual else None,
        unclear,
    )
