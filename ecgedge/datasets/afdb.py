"""MIT-BIH Atrial Fibrillation Database: rhythm and beat annotations of 25 ten-hour recordings.

Moody and Mark, *A new method for detecting atrial fibrillation using R-R intervals*, Computers in
Cardiology 1983; ODC-BY 1.0. Only annotations are used (no waveforms): ``.qrs`` beats and ``.atr`` rhythms.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecgedge.datasets.catalogue import AFDB, open_set
from ecgedge.recordings.annotations import decode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ecgedge.messages import Floats

RATE_HZ = 250.0
NAMES = (
    *("00735", "03665", "04015", "04043", "04048", "04126", "04746", "04908", "04936", "05091"),
    *("05121", "05261", "06426", "06453", "06995", "07162", "07859", "07879", "07910", "08215"),
    *("08219", "08378", "08405", "08434", "08455"),
)


@dataclass(frozen=True)
class RhythmRecord:
    """R peaks, shape (n,), seconds, and rhythms as (start in seconds, label such as ``AFIB`` or ``N``)."""

    name: str
    beats_s: Floats
    rhythms: list[tuple[float, str]]


def records(root: Path) -> Iterator[RhythmRecord]:
    """All records, in order."""
    with open_set(root, AFDB.name) as archive:
        for name in NAMES:
            beats = decode(archive.read(f"afdb/{name}.qrs"), f"{name}.qrs")
            marks = decode(archive.read(f"afdb/{name}.atr"), f"{name}.atr")
            times = np.array([a.sample for a in beats if a.is_beat]) / RATE_HZ
            rhythms = [(a.sample / RATE_HZ, a.note[1:]) for a in marks if a.note.startswith("(")]
            yield RhythmRecord(name, times, rhythms)
