"""Labelled records -> conditioned signal, crops for training, windows for evaluation.

Conditioning, windows and normalisation are the device's own code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from ecgedge.conditioning import Conditioner
from ecgedge.datasets import cinc2017
from ecgedge.errors import DataError
from ecgedge.features import BEATS, PERSON, make_inputs, tensor_shape
from ecgedge.messages import Context, Person
from ecgedge.rpeaks import BAND, RPeakDetector
from ecgedge.training.augment import Augmenter
from ecgedge.windows import Windower

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ecgedge.messages import Floats, Signal32, Window
    from ecgedge.training.published import Published
    from ecgedge.training.recipe import Recipe
    from ecgedge.windows import WindowSpec

CALIBRATION_RECORDS = 512


@dataclass
class ConditionedSet:
    """Records after the frontend: names, signals (each (n,), float32, at the model's rate), labels."""

    names: list[str]
    signals: list[Signal32]
    labels: list[int]
    contexts: list[Context] | None = None
    """Beats and person of each record; None where no input of the recipe is made of them."""

    def subset(self, names: list[str]) -> ConditionedSet:
        """The named records, in the given order."""
        at = {name: i for i, name in enumerate(self.names)}
        rows = [at[name] for name in names]
        contexts = None if self.contexts is None else [self.contexts[i] for i in rows]
        return ConditionedSet(
            names, [self.signals[i] for i in rows], [self.labels[i] for i in rows], contexts
        )

    def context(self, record: int, window: Window) -> Context | None:
        """Beats and person of a record's window."""
        if self.contexts is None:
            return None
        return within(self.contexts[record], window.time_s, window.seconds)


def inner_split(
    names: list[str], labels: list[int], share: float, fold: int | None = None
) -> tuple[list[str], list[str]]:
    """Split training records by class, ``share`` of each for inner validation.

    Every k-th record of a class in name order goes to the inner part, so that the split needs no seed and
    is the same on every machine. ``fold``, from 1, says with which record that begins; None: in the middle.

    Raises
    ------
    DataError
        If no record is left on either side.
    """
    step = round(1 / share)
    first = step // 2 if fold is None else fold - 1
    inner: set[str] = set()
    for label in sorted(set(labels)):
        mine = sorted(name for name, other in zip(names, labels, strict=True) if other == label)
        inner.update(mine[first::step])
    if not 0 < len(inner) < len(names):
        found = f"inner_share = {share:g} keeps {len(inner)} of {len(names)} records"
        raise DataError(found, "some to fit on and some to choose by")
    return [n for n in names if n not in inner], [n for n in names if n in inner]


def condition(signal: Floats, rate_hz: float, spec: dict[str, object]) -> Signal32:
    """One whole record through the device's conditioning chain."""
    chain = Conditioner(spec, rate_hz)
    return np.concatenate((chain.push(signal), chain.finish()))


def context_of(signal: Floats, rate_hz: float, model_rate_hz: float, person: Person) -> Context:
    """The beats that the device finds in a whole record, whose model works at ``model_rate_hz``."""
    detector = RPeakDetector(0, 0.0, rate_hz)
    beats = detector.push(condition(signal, rate_hz, BAND)) + detector.finish()
    times, heights = (np.array(part) for part in ([b.time_s for b in beats], [b.height for b in beats]))
    return Context(model_rate_hz, times, heights, person)


def within(context: Context, begin_s: float, seconds: float, factor: float = 1.0) -> Context:
    """The part of a context that belongs to a piece of the signal, times divided by ``factor``."""
    there = (context.times_s >= begin_s) & (context.times_s < begin_s + seconds)
    times = (context.times_s[there] - begin_s) / factor
    return Context(context.rate_hz, times, context.heights[there], context.person)


def needs_context(inputs: list[dict[str, Any]]) -> bool:
    """Whether an input of a recipe or manifest is made of beats or the person."""
    return any(entry["kind"] in BEATS | PERSON for entry in inputs)


def load_cinc2017(root: Path, names: list[str], recipe: Recipe) -> ConditionedSet:
    """Read and condition the named CinC 2017 records; the set tells nothing of the persons."""
    out = ConditionedSet([], [], [], [] if needs_context(recipe.inputs) else None)
    rate_hz = recipe.preprocessing["rate_hz"]
    for record in cinc2017.records(root, names, recipe.data.revision):
        out.names.append(record.name)
        out.signals.append(condition(record.lead(), record.rate_hz, recipe.preprocessing))
        out.labels.append(cinc2017.class_of(record, recipe.data.revision))
        if out.contexts is not None:
            out.contexts.append(context_of(record.lead(), record.rate_hz, rate_hz, Person()))
    return out


def input_list(recipe: Recipe) -> list[dict[str, Any]]:
    """The recipe's inputs as ``features.make_inputs`` wants them; shapes (1, rows, columns) for torch."""
    spec = recipe.spec
    length = round(spec.length_s * spec.rate_hz)
    clip = recipe.window.clip
    return [{**entry, "clip": clip, "shape": [1, *tensor_shape(entry, length)]} for entry in recipe.inputs]


def tensors(
    inputs: list[dict[str, Any]], signal: Signal32, context: Context | None = None
) -> tuple[Tensor, ...]:
    """What a net takes for one window, in the order of the inputs."""
    return tuple(torch.from_numpy(values) for values in make_inputs(inputs, signal, context).values())


def record_windows(signal: Signal32, spec: WindowSpec) -> list[Window]:
    """The windows, before normalisation, that ``classify`` would score for one record."""
    windower = Windower(spec, 0, 0.0, spec.rate_hz)
    windows = windower.push(signal) + windower.finish()
    return [w for w in windows if not w.provisional]


class EpochOrder(Sampler[tuple[int, int]]):
    """Which crops come when: (epoch, record) pairs, the records of each epoch shuffled by seed and epoch.

    With several processes each takes its share of the same order. Lightning tells the epoch.
    """

    def __init__(self, records: int, seed: int, epoch: int = 0, process: int = 0, processes: int = 1) -> None:
        self._records, self._seed, self._epoch = records, seed, epoch
        self._process, self._processes = process, processes

    def set_epoch(self, epoch: int) -> None:
        """The epoch that the next iteration is of, from 0."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._records // self._processes

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = np.random.default_rng((self._seed, self._epoch)).permutation(self._records)
        mine = order[self._process :: self._processes][: len(self)]
        yield from ((self._epoch, int(k)) for k in mine)


class CropDataset(Dataset[tuple[tuple[Tensor, ...], int]]):
    """One augmented random crop of every record an epoch; its index is (epoch, record).

    A crop's luck is drawn from seed, epoch and record alone: it is the same after a resumption and in any
    number of loader processes.
    """

    def __init__(self, records: ConditionedSet, recipe: Recipe, augmenter: Augmenter | Published) -> None:
        self._records = records
        self._recipe = recipe
        self._augmenter = augmenter
        self._inputs = input_list(recipe)

    def __len__(self) -> int:
        return len(self._records.signals)

    def __getitem__(self, at: tuple[int, int]) -> tuple[tuple[Tensor, ...], int]:
        epoch, record = at
        luck = (self._recipe.seed, epoch, record)
        crop = self._augmenter(self._records.signals[record], np.random.default_rng(luck))
        return tensors(self._inputs, crop, self._context(record, luck)), self._records.labels[record]

    def _context(self, record: int, luck: tuple[int, int, int]) -> Context | None:
        """Beats and person of the crop that this luck gives."""
        if self._records.contexts is None:
            return None
        whole = self._records.contexts[record]
        assert isinstance(self._augmenter, Augmenter), "recipes refuse beats with the published steps"
        size = self._records.signals[record].size
        start, source, n = self._augmenter.place(size, np.random.default_rng(luck))
        factor = (source - 1) / (n - 1)
        return within(whole, start / whole.rate_hz, source / whole.rate_hz, factor)


class WindowDataset(Dataset[tuple[tuple[Tensor, ...], int, int]]):
    """All windows of all records: (inputs of a window, label, record number)."""

    def __init__(self, records: ConditionedSet, recipe: Recipe) -> None:
        inputs, spec = input_list(recipe), recipe.spec
        self._rows = [
            (tensors(inputs, w.signal, records.context(number, w)), label, number)
            for number, (signal, label) in enumerate(zip(records.signals, records.labels, strict=True))
            for w in record_windows(signal, spec)
        ]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> tuple[tuple[Tensor, ...], int, int]:
        return self._rows[index]


def calibration_windows(fit: ConditionedSet, recipe: Recipe) -> WindowDataset:
    """Those that the ranges of int8 are measured on: of training records spread evenly over the set."""
    step = max(1, len(fit.names) // CALIBRATION_RECORDS)
    return WindowDataset(fit.subset(fit.names[::step][:CALIBRATION_RECORDS]), recipe)
