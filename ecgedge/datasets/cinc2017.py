"""PhysioNet/CinC Challenge 2017: 8528 single-lead AliveCor recordings, 300 Hz, four classes.

Clifford et al., *AF Classification from a Short Single Lead ECG Recording*, CinC 2017; ODC-BY 1.0.
Labels are revision v2 (``REFERENCE.csv``: N 5050, A 738, O 2456, ~ 284), the one behind the published
ECG-DualNet figures, whose 7000 / 1528 lists are used as they are. Record A01176 (validation) is an exact
duplicate of A00227 (training); there are no subject identifiers, so the split is by record.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecgedge.datasets.archive import Archive
from ecgedge.errors import DataError, RecordingError
from ecgedge.recordings import read_mat4

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ecgedge.messages import Floats

CLASSES = ("N", "A", "O", "~")
"""Normal, atrial fibrillation, other rhythm, too noisy: the order of every model's outputs here."""
RATE_HZ = 300.0
COUNTS_PER_MV = 1000.0
LABELS = {"v1": "REFERENCE-original.csv", "v2": "REFERENCE.csv", "v3": "REFERENCE-v3.csv"}


@dataclass(frozen=True)
class LabelledRecord:
    """One recording: millivolt, shape (n,), float64, at 300 Hz, and its class index."""

    name: str
    signal: Floats
    label: int


def published_split(root: Path) -> tuple[list[str], list[str]]:
    """Record names of the published training (7000) and validation (1528) lists."""
    path = root / "splits" / "cinc2017_dualnet.json"
    try:
        lists = json.loads(path.read_text(encoding="utf-8"))
        return list(lists["train"]), list(lists["validation"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} cannot be read ({error})", "the published split") from None


def labels(archive: Archive, revision: str = "v2") -> dict[str, int]:
    """Class index by record name."""
    if revision not in LABELS:
        raise DataError(f"label revision {revision!r}", f"one of {sorted(LABELS)}")
    member = LABELS[revision]
    known: dict[str, int] = {}
    for line in archive.read(f"training2017/{member}").decode("ascii", "replace").split():
        name, _, label = line.partition(",")
        if label not in CLASSES:
            raise DataError(f"{member}: line {line[:40]!r}", f"RECORD,LABEL with one of {' '.join(CLASSES)}")
        known[name] = CLASSES.index(label)
    return known


def records(root: Path, names: list[str], revision: str = "v2") -> Iterator[LabelledRecord]:
    """The named recordings, in order.

    Raises
    ------
    DataError
        For a set, record or label that is missing or damaged.
    """
    with Archive(root, "cinc2017") as archive:
        known = labels(archive, revision)
        for name in names:
            if name not in known:
                raise DataError(f"record {name}", "a record of CinC 2017", "Check the split.")
            content = archive.read(f"training2017/{name}.mat")
            try:
                counts = read_mat4(content, name)[0]
            except RecordingError as error:
                raise DataError(error.received, error.expected, "Fetch the set again.") from None
            yield LabelledRecord(name, counts.astype(np.float64) / COUNTS_PER_MV, known[name])
