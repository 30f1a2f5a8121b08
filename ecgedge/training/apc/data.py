"""Recordings -> windows for scoring, with their label and, where wanted, manual attention.

What a window is called follows from the annotators' beats: APC where one of A, a, J or S lies in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ecgedge.features import normalise, pad
from ecgedge.training.data import record_windows

if TYPE_CHECKING:
    import numpy.typing as npt

    from ecgedge.messages import Floats, Signal32
    from ecgedge.training.apc.recipe import ApcRecipe


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
