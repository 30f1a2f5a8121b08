"""MIT-BIH Arrhythmia Database: 48 half-hour recordings with beats, rhythms, age and sex; P-wave marks of 12.

Moody and Mark 2001; ODC-BY 1.0. Records 201 and 202 are one person, so they share a subject.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ecgedge.datasets.archive import Archive, is_pack
from ecgedge.datasets.catalogue import MITDB, MITDB_PWAVE, open_set
from ecgedge.datasets.pack import Pack
from ecgedge.datasets.splits import split
from ecgedge.datasets.wfdb_form import marks_of, read_record, record_names, with_labels
from ecgedge.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ecgedge.datasets.record import Record
    from ecgedge.recordings.annotations import Annotation

RATE_HZ = 360.0
_SAME_PERSON = {"202": "201"}


def inter_patient_split(root: Path) -> tuple[list[str], list[str]]:
    """Records of DS1 (training) and DS2 (test) after de Chazal et al. 2004, without the paced ones.

    201 is in the one and 202, the same person, in the other: state results with and without 202.
    """
    train, test = split(root, "mitdb_dechazal", "train", "test")
    return train, test


def records(root: Path, names: list[str] | None = None, signals: bool = True) -> Iterator[Record]:
    """The named recordings (all, where none are named), in order, annotator ``atr``.

    Parameters
    ----------
    root : folder of the data sets, or a pack of this one
    signals : False leaves the samples out

    Raises
    ------
    DataError
        For a set or record that is missing or damaged.
    """
    if is_pack(root):
        yield from Pack(root, MITDB.name).records(names)
        return
    with open_set(root, MITDB.name) as archive:
        for name in names if names is not None else _names(archive):
            record, _ = read_record(archive, f"{MITDB.folder}/{name}", ("atr",), signals)
            yield with_labels(record, {}, _SAME_PERSON.get(name, name))


def p_waves(root: Path) -> dict[str, tuple[Annotation, ...]]:
    """P peaks by record, for the twelve recordings that have them.

    Raises
    ------
    DataError
        If the set is missing or damaged.
    """
    with open_set(root, MITDB_PWAVE.name) as archive:
        found = [name.rpartition("/")[2] for name in archive.members() if name.endswith(".pwave")]
        if not found:
            raise DataError(f"{archive.path} holds no P-wave annotations", "files named RECORD.pwave")
        return {name[:-6]: marks_of(archive, f"{MITDB_PWAVE.folder}/{name}") for name in found}


def with_p_waves(root: Path) -> Iterator[Record]:
    """The recordings that have P-wave marks, with annotators ``atr`` and ``pwave``."""
    marks = p_waves(root)
    for record in records(root, sorted(marks)):
        yield replace(record, annotations={**record.annotations, "pwave": marks[record.name]})


def _names(archive: Archive) -> list[str]:
    return [path.rpartition("/")[2] for path in record_names(archive, MITDB.folder)]
