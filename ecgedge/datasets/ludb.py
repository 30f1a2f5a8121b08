"""Lobachevsky University Database: 200 persons, 12 leads, 10 s, P, QRS and T delineated by hand.

Kalyakulina et al. 2020; ODC-BY 1.0. Annotators are the leads (``i`` ... ``v6``): ``p``, ``N`` and ``t`` at
peaks, between ``(`` and ``)`` at onsets and ends. Labels: ``rhythm``, and ``diagnoses`` as the header's
comments list them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ecgedge.datasets.catalogue import LUDB, open_set
from ecgedge.datasets.wfdb_form import read_record, record_names, with_labels

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ecgedge.datasets.record import Record

LEADS = ("i", "ii", "iii", "avr", "avl", "avf", "v1", "v2", "v3", "v4", "v5", "v6")
_RHYTHM = "Rhythm:"


def records(root: Path, annotators: Sequence[str] = LEADS) -> Iterator[Record]:
    """All recordings, in order, with the marks in these leads.

    Raises
    ------
    DataError
        For a set or record that is missing or damaged.
    """
    with open_set(root, LUDB.name) as archive:
        for path in record_names(archive, LUDB.folder):
            record, header = read_record(archive, path, annotators)
            said = [line.rstrip(". ") for line in header.comments if line and not line.startswith("<")]
            rhythm = tuple(line[len(_RHYTHM) :].strip() for line in said if line.startswith(_RHYTHM))
            rest = tuple(line for line in said if not line.startswith(_RHYTHM))
            yield with_labels(record, {"rhythm": rhythm, "diagnoses": rest}, record.name)
