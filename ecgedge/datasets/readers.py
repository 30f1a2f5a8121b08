"""Every known set as records: which reader reads it, what splits and label counts it has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from ecgedge.datasets import cinc2017, cpsc2018, longterm, ludb, mitdb, nstdb, ptbxl
from ecgedge.datasets.catalogue import MITDB, DataSet
from ecgedge.datasets.record import Record
from ecgedge.datasets.splits import split

_LONG = ("afdb", "ltafdb", "svdb", "icentia11k", "cpsc2021")
READERS: Mapping[str, Callable[[Path], Iterator[Record]]] = {
    "cinc2017": cinc2017.records,
    "mitdb": mitdb.records,
    "mitdb_pwave": mitdb.with_p_waves,
    "nstdb": nstdb.records,
    "ludb": ludb.records,
    "ptbxl": ptbxl.records,
    "cpsc2018": cpsc2018.records,
    **{name: partial(longterm.records, name=name) for name in _LONG},
}
"""All records of a set, from the folder of the data sets. ``mitdb_pwave`` needs ``mitdb`` beside it."""
_SPLITS = {
    "cinc2017": ("cinc2017_dualnet", ("train", "validation", "challenge_train", "challenge_validation")),
    "mitdb": ("mitdb_dechazal", ("train", "test", "paced")),
}


def splits_of(known: DataSet, root: Path) -> dict[str, dict[str, list[str]]]:
    """The published lists of a set, by list and part."""
    if known.name not in _SPLITS:
        return {}
    name, parts = _SPLITS[known.name]
    return {name: dict(zip(parts, split(root, name, *parts), strict=True))}


def label_counts(known: DataSet, root: Path) -> Mapping[str, Mapping[str, int]]:
    """Labels as they lie on disk, for the sets whose published numbers the catalogue has.

    Raises
    ------
    DataError
        For a set that is missing or damaged.
    """
    if known.name == cinc2017.NAME:
        found = {r: cinc2017.labels_by_record(root, r) for r in cinc2017.revisions(root)}
        return {r: Counter(cinc2017.CLASSES[k] for k in of.values()) for r, of in found.items()}
    if known.name == MITDB.name:
        records = mitdb.records(root, signals=False)
        beats = Counter(mark.symbol for record in records for mark in record.beats())
        return {"beats": {"all": beats.total(), **beats}}
    return {}
