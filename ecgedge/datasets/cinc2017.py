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
from ecgedge.errors import DataError
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
        lists = json.loads(path.read_text())
        return list(lists["train"]), list(lists["validation"])
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path} cannot be read ({error})", "the published split") from None


def labels(archive: Archive, revision: str = "v2") -> dict[str, int]:
    """Class index by record name."""
    if revision not in LABELS:
        raise DataError(f"label revision {revision!r}", f"one of {sorted(LABELS)}")
    text = archive.read(f"training2017/{LABELS[revision]}").decode("ascii")
    rows = (line.split(",") for line in text.split())
    return {name: CLASSES.index(label) for name, label in rows}


def records(root: Path, names: list[str], revision: str = "v2") -> Iterator[LabelledRecord]:
    """The named recordings, in order."""
    with Archive(root, "cinc2017") as archive:
        known = labels(archive, revision)
        for name in names:
            if name not in known:
                raise DataError(f"record {name}", "a record of CinC 2017", "Check the split.")
            counts = read_mat4(archive.read(f"training2017/{name}.mat"), name)[0]
            yield LabelledRecord(name, counts.astype(np.float64) / COUNTS_PER_MV, known[name])
