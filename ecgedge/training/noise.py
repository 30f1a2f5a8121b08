"""What disturbs signals, put through the recipe's conditioning, so that conditioned signal can bear it.

Filtering is linear: the sum of a conditioned signal and conditioned noise is the conditioned sum.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ecgedge.datasets import cinc2017, nstdb
from ecgedge.training.data import condition

if TYPE_CHECKING:
    from pathlib import Path

    from ecgedge.messages import Signal32
    from ecgedge.training.recipe import AugmentationOptions, WindowOptions

MAINS_HZ = (50.02, 60.02)
"""As grids are: never quite at 50 and 60, so that at half the model's rate no one phase decides."""
TRAINING_SHARE = 0.5
"""Of each noise recording, from its start: the rest stays unheard, for tests under noise."""


@dataclass(frozen=True)
class Noise:
    """Recordings to draw from, each (n,), float32, at the model's rate; empty where a recipe needs none."""

    sensor: list[list[Signal32]] = field(default_factory=list)
    """For each kind (baseline wander, electrode motion, muscle) its leads."""
    mains: list[Signal32] = field(default_factory=list)
    """For each frequency what a sine of amplitude 1 at the electrodes becomes."""

    def draw_sensor(self, n: int, rng: np.random.Generator) -> Signal32:
        """``n`` samples of a kind, a lead and a place; every kind is as likely."""
        leads = self.sensor[rng.integers(len(self.sensor))]
        return _piece(leads[rng.integers(len(leads))], n, rng)

    def draw_mains(self, n: int, rng: np.random.Generator) -> Signal32:
        """``n`` samples of one of the frequencies, at any phase."""
        return _piece(self.mains[rng.integers(len(self.mains))], n, rng)


class Disturbed(Protocol):
    """What a recipe must tell of its disturbances."""

    @property
    def preprocessing(self) -> dict[str, Any]:
        """The conditioning specification."""

    @property
    def window(self) -> WindowOptions:
        """The model's window."""

    @property
    def augmentation(self) -> AugmentationOptions | None:
        """Strengths; None where nothing is mixed in."""


def load(root: Path, recipe: Disturbed) -> Noise:
    """What the recipe's augmentation needs.

    Raises
    ------
    DataError
        If it wants sensor noise and the MIT-BIH Noise Stress Test Database is missing or damaged.
    """
    options = recipe.augmentation
    if options is None:
        return Noise()
    sensor = []
    if options.sensor_noise:
        for record in nstdb.records(root):
            part = record.signal[: round(TRAINING_SHARE * len(record.signal))]
            sensor.append([condition(lead, record.rate_hz, recipe.preprocessing) for lead in part.T])
    return Noise(sensor, mains(recipe) if options.mains else [])


def mains(recipe: Disturbed) -> list[Signal32]:
    """Twice a window of each mains frequency, sampled as the training records are, then conditioned."""
    t = np.arange(0, 2 * recipe.window.length_s, 1 / cinc2017.RATE_HZ)
    waves = (np.sin(2 * np.pi * hz * t) for hz in MAINS_HZ)
    return [condition(wave, cinc2017.RATE_HZ, recipe.preprocessing) for wave in waves]


def _piece(noise: Signal32, n: int, rng: np.random.Generator) -> Signal32:
    start = int(rng.integers(0, noise.size - n + 1))
    return noise[start : start + n]
