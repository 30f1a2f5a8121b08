"""Noises of the MIT-BIH Noise Stress Test Database: half an hour each of what disturbs an ECG.

Moody, Muldrow, Mark 1984; ODC-BY 1.0. ``bw`` baseline wander, ``em`` electrode motion, ``ma`` muscle; two
channels, 360 Hz, recorded from electrodes placed so that no ECG is seen.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ecgedge.datasets.catalogue import NSTDB, open_set
from ecgedge.datasets.wfdb_form import read_record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ecgedge.datasets.record import Record

NAMES = ("bw", "em", "ma")


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
