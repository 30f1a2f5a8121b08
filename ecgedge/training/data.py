"""Labelled records -> conditioned signal, crops for training, windows for evaluation.

Conditioning, windows and normalisation are the device's own code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ecgedge.conditioning import Conditioner
from ecgedge.datasets import cinc2017
from ecgedge.features import normalise, pad
from ecgedge.training.augment import augment, random_crop
from ecgedge.windows import Windower, WindowSpec

if TYPE_CHECKING:
    from pathlib import Path

    from ecgedge.messages import Floats, Signal32
    from ecgedge.training.recipe import Recipe


@dataclass
class ConditionedSet:
    """Records after the frontend: names, signals (each (n,), float32, at the model's rate), labels."""

    names: list[str]
    signals: list[Signal32]
    labels: list[int]

    def subset(self, names: list[str]) -> ConditionedSet:
        """The named records, in the given order."""
        at = {name: i for i, name in enumerate(self.names)}
        rows = [at[name] for name in names]
        return ConditionedSet(names, [self.signals[i] for i in rows], [self.labels[i] for i in rows])


def inner_split(names: list[str], labels: list[int], share: float) -> tuple[list[str], list[str]]:
    """Split training records by class, ``share`` of each for inner validation.

    Every k-th record of a class in name order goes to the inner part, so that the split needs no seed and
    is the same on every machine.
    """
    step = round(1 / share)
    inner: set[str] = set()
    for label in sorted(set(labels)):
        mine = sorted(name for name, other in zip(names, labels, strict=True) if other == label)
        inner.update(mine[step // 2 :: step])
    return [n for n in names if n not in inner], [n for n in names if n in inner]


def condition(signal: Floats, rate_hz: float, spec: dict[str, object]) -> Signal32:
    """One whole record through the device's conditioning chain."""
    chain = Conditioner(spec, rate_hz)
    filled = np.zeros(signal.size, dtype=bool)
    return np.concatenate((chain.push(signal, filled)[0], chain.finish()[0]))


def load_cinc2017(root: Path, names: list[str], recipe: Recipe) -> ConditionedSet:
    """Read and condition the named CinC 2017 records."""
    out = ConditionedSet([], [], [])
    for record in cinc2017.records(root, names, recipe.data.revision):
        out.names.append(record.name)
        out.signals.append(condition(record.signal, cinc2017.RATE_HZ, recipe.preprocessing))
        out.labels.append(record.label)
    return out


def window_spec(recipe: Recipe) -> WindowSpec:
    """The recipe's window for the frontend."""
    w = recipe.window
    return WindowSpec(recipe.preprocessing["rate_hz"], w.length_s, w.hop_s, w.minimum_s)


def record_windows(signal: Signal32, recipe: Recipe) -> list[Signal32]:
    """The windows (normalised, padded, each (length,)) that ``classify`` would score for one record."""
    spec = window_spec(recipe)
    length = round(spec.length_s * spec.rate_hz)
    windower = Windower(spec, 0, 0.0, spec.rate_hz)
    windows = windower.push(signal, np.zeros(signal.size, dtype=bool)) + windower.finish()
    return [pad(normalise(w.signal, recipe.window.clip), length) for w in windows if not w.provisional]


class CropDataset(Dataset[tuple[Tensor, int]]):
    """One augmented random crop of every record an epoch."""

    def __init__(self, records: ConditionedSet, recipe: Recipe, seed: int) -> None:
        self._records = records
        self._recipe = recipe
        self._rng = np.random.default_rng(seed)
        spec = window_spec(recipe)
        self._rate = spec.rate_hz
        self._length = round(spec.length_s * spec.rate_hz)
        self._minimum = round(spec.minimum_s * spec.rate_hz)

    def __len__(self) -> int:
        return len(self._records.signals)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        options = self._recipe.augmentation
        crop = random_crop(self._records.signals[index], self._length, self._minimum, options, self._rng)
        crop = augment(crop, self._rate, options, self._rng)
        crop = pad(normalise(crop, self._recipe.window.clip), self._length)
        return torch.from_numpy(crop)[None, None], self._records.labels[index]


class WindowDataset(Dataset[tuple[Tensor, int, int]]):
    """All windows of all records: (window, label, record number)."""

    def __init__(self, records: ConditionedSet, recipe: Recipe) -> None:
        self._rows = [
            (window, label, number)
            for number, (signal, label) in enumerate(zip(records.signals, records.labels, strict=True))
            for window in record_windows(signal, recipe)
        ]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        window, label, number = self._rows[index]
        return torch.from_numpy(window)[None, None], label, number
