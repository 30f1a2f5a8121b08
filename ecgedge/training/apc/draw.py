"""Recordings -> the windows of a step's epochs, augmented, some with a made early beat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ecgedge.features import normalise, pad
from ecgedge.training.apc import premature
from ecgedge.training.apc.data import Recording
from ecgedge.training.augment import augment

if TYPE_CHECKING:
    from ecgedge.messages import Signal32
    from ecgedge.training.apc.recipe import ApcRecipe
    from ecgedge.training.noise import Noise

EXTRA_S = 1.2
"""Signal taken beyond a window, of which a made early beat leaves some out."""
TRIES = 40


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
