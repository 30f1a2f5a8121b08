"""Noises of the MIT-BIH Noise Stress Test Database: half an hour each of what disturbs an ECG.

Moody, Muldrow, Mark 1984; ODC-BY 1.0. ``bw`` baseline wander, ``em`` electrode motion, ``ma`` muscle; two
channels, 360 Hz, recorded from electrodes placed so that no ECG is seen.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecgedge.datasets.catalogue import NSTDB, open_set
from ecgedge.datasets.wfdb_form import read_record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ecgedge.datasets.record import Record
    from ecgedge.messages import Floats

NAMES = ("bw", "em", "ma")
_TRIM = 0.05


def records(root: Path) -> Iterator[Record]:
    """The three noises, mV.

    Raises
    ------
    DataError
        For a set or record that is missing or damaged.
    """
    with open_set(root, NSTDB.name) as archive:
        for name in NAMES:
            yield read_record(archive, f"{NSTDB.folder}/{name}")[0]


def gain(signal: Floats, noise: Floats, beats: Sequence[int], rate_hz: float, snr_db: float) -> float:
    """What noise is to be multiplied by, to stand at a ratio to a signal, as the database's ``nst`` has it.

    Signal power is the eighth part of the squared peak-to-peak amplitude within 50 ms of the beats, noise
    power the squared RMS about the mean in windows of 1 s, both amplitudes trimmed by 5 % at either end.

    Parameters
    ----------
    signal, noise : shape (n,) and (m,), both in one unit, at ``rate_hz``
    beats : samples of the signal's R peaks
    """
    reach, width = round(0.05 * rate_hz), round(rate_hz)
    pieces = [signal[b - reach : b + reach + 1] for b in beats if reach <= b < signal.size - reach]
    amplitude = _trimmed_mean(np.array([np.ptp(piece) for piece in pieces]))
    seconds = noise[: noise.size // width * width].reshape(-1, width)
    power = amplitude**2 / 8.0
    return float(np.sqrt(power / 10 ** (snr_db / 10.0)) / _trimmed_mean(seconds.std(axis=1)))


def _trimmed_mean(values: Floats) -> float:
    """Mean without the least and the greatest 5 %."""
    cut = int(_TRIM * values.size)
    return float(np.sort(values)[cut : values.size - cut].mean())
