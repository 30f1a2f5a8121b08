"""Apnea-ECG Database: 70 nights of one lead at 100 Hz, each minute told normal (N) or with apnoea (A).

Penzel et al., Computers in Cardiology 27, 2000; ODC-BY 1.0. The 35 recordings whose minutes are published
with the signal (a, b and c) are for training, the 35 others (x) for the final table.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ecgedge.datasets.archive import Archive
from ecgedge.datasets.wfdb_form import read_record, record_names
from ecgedge.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ecgedge.datasets.record import Record

FOLDER = "apnea-ecg"


def released(root: Path) -> list[str]:
    """Names of the recordings for training, in order.

    Raises
    ------
    DataError
        If the set is missing, or holds none of them.
    """
    with Archive(root, FOLDER) as archive:
        names = [path.rpartition("/")[2] for path in record_names(archive, FOLDER)]
    found = [name for name in names if name[0] in "abc" and name[1:].isdecimal()]
    if not found:
        raise DataError(f"{FOLDER} with the recordings {names}", "a01, b01, c01 and so on")
    return found


def records(root: Path, names: list[str]) -> Iterator[Record]:
    """The named recordings, in order, annotator ``apn``.

    Raises
    ------
    DataError
        For a set or recording that is missing or damaged.
    """
    with Archive(root, FOLDER) as archive:
        for name in names:
            yield read_record(archive, f"{FOLDER}/{name}", ("apn",))[0]


def minutes(record: Record) -> Iterator[tuple[int, str]]:
    """First sample of each minute that is told, and its letter, N or A."""
    for mark in record.annotations["apn"]:
        if mark.symbol in ("N", "A"):
            yield mark.sample, mark.symbol
