"""PhysioNet/CinC Challenge 2017: 8528 single-lead AliveCor recordings, 300 Hz, four classes.

Clifford et al., *AF Classification from a Short Single Lead ECG Recording*, CinC 2017; ODC-BY 1.0.
Labels are revision v2 (``REFERENCE.csv``: N 5050, A 738, O 2456, ~ 284), the one behind the published
ECG-DualNet figures, whose 7000 / 1528 lists are used as they are. Record A01176 (validation) is an exact
duplicate of A00227 (training); there are no subject identifiers, so the split is by record.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecgedge.datasets.archive import Archive, is_pack
from ecgedge.datasets.catalogue import CINC2017, open_set
from ecgedge.datasets.pack import Pack
from ecgedge.datasets.record import Record
from ecgedge.datasets.splits import split
from ecgedge.errors import DataError, RecordingError
from ecgedge.recordings import read_mat4

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = CINC2017.name
CLASSES = ("N", "A", "O", "~")
"""Normal, atrial fibrillation, other rhythm, too noisy: the order of every model's outputs here."""
RATE_HZ = 300.0
COUNTS_PER_MV = 1000.0
LABELS = {"v1": "REFERENCE-original.csv", "v2": "REFERENCE.csv", "v3": "REFERENCE-v3.csv"}


def published_split(root: Path) -> tuple[list[str], list[str]]:
    """Record names of the published training (7000) and validation (1528) lists; see ``splits``."""
    train, validation = split(root, "cinc2017_dualnet", "train", "validation")
    return train, validation


def labels(archive: Archive, revision: str = "v2") -> dict[str, int]:
    """Class index by record name."""
    _check(revision)
    member = LABELS[revision]
    known: dict[str, int] = {}
    for line in archive.read(f"training2017/{member}").decode("ascii", "replace").split():
        name, _, label = line.partition(",")
        if label not in CLASSES:
            raise DataError(f"{member}: line {line[:40]!r}", f"RECORD,LABEL with one of {' '.join(CLASSES)}")
        known[name] = CLASSES.index(label)
    return known


def revisions(root: Path) -> list[str]:
    """The label revisions that are at hand in a folder of the data sets or a pack.

    Raises
    ------
    DataError
        If the set is missing or damaged.
    """
    if is_pack(root):
        pack = Pack(root, NAME)
        return [revision for revision in LABELS if pack.labels(revision)]
    with open_set(root, NAME) as archive:
        return [revision for revision in LABELS if _holds(archive, revision)]


def labels_by_record(root: Path, revision: str = "v2") -> dict[str, int]:
    """Class index by record name, from a folder of the data sets or from a pack of this one.

    Raises
    ------
    DataError
        For a set or label that is missing or damaged.
    """
    _check(revision)
    if is_pack(root):
        said = Pack(root, NAME).labels(revision)
        return {name: CLASSES.index(label) for name, (label,) in said.items()}
    with open_set(root, NAME) as archive:
        return labels(archive, revision)


def class_of(record: Record, revision: str = "v2") -> int:
    """Class index of a record.

    Raises
    ------
    DataError
        If the record has no label of this revision.
    """
    try:
        return CLASSES.index(record.labels[revision][0])
    except (KeyError, IndexError, ValueError):
        raise DataError(f"{record.name}: no label {revision!r}", f"one of {sorted(LABELS)}") from None


def records(root: Path, names: list[str] | None = None, revision: str = "v2") -> Iterator[Record]:
    """The named recordings (all, where none are named), in order, with every label revision at hand.

    Parameters
    ----------
    root : folder of the data sets, or a pack of this one
    revision : one that must be there

    Raises
    ------
    DataError
        For a set, record or label that is missing or damaged.
    """
    _check(revision)
    if is_pack(root):
        yield from Pack(root, NAME).records(names)
        return
    with open_set(root, NAME) as archive:
        known = {r: labels(archive, r) for r in LABELS if r == revision or _holds(archive, r)}
        for name in names if names is not None else known[revision]:
            if name not in known[revision]:
                raise DataError(f"record {name}", "a record of CinC 2017", "Check the split.")
            said = {r: (CLASSES[of[name]],) for r, of in known.items() if name in of}
            content = archive.read(f"training2017/{name}.mat")
            try:
                counts = read_mat4(content, name)[0]
            except RecordingError as error:
                raise DataError(error.received, error.expected, "Fetch the set again.") from None
            signal = counts.astype(np.float64)[:, None] / COUNTS_PER_MV
            yield Record(name, signal, RATE_HZ, ("ECG",), labels=said)


def _check(revision: str) -> None:
    if revision not in LABELS:
        raise DataError(f"label revision {revision!r}", f"one of {sorted(LABELS)}")


def _holds(archive: Archive, revision: str) -> bool:
    return archive.holds(f"training2017/{LABELS[revision]}")
