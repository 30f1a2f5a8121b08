"""Long recordings with beats and rhythms: AFDB, LTAFDB, SVDB, Icentia11k and CPSC 2021, by one reader.

Titles, citations and terms stand in the catalogue. Signals that are not there (AFDB is also used without)
are left out. A subject is the recording, but for Icentia11k (``p00000_s00``: person, hour) and CPSC 2021
(``data_0_1``: person, excerpt); the persons of SVDB's recordings are not told.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ecgedge.datasets.catalogue import AFDB, CPSC2021, ICENTIA11K, LTAFDB, SVDB, open_set
from ecgedge.datasets.wfdb_form import headers, read_record, record_names, with_labels
from ecgedge.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ecgedge.datasets.record import Record

_ANNOTATORS = {
    AFDB.name: ("atr", "qrs"),
    LTAFDB.name: ("atr",),
    SVDB.name: ("atr",),
    ICENTIA11K.name: ("atr",),
    CPSC2021.name: ("atr",),
}
_IN_PARTS = (ICENTIA11K.name, CPSC2021.name)
"""Sets of which people hold parts: their lists of records say more than is there."""


def records(root: Path, name: str) -> Iterator[Record]:
    """All recordings of a set, in order.

    Parameters
    ----------
    root : folder of the data sets
    name : ``afdb``, ``ltafdb``, ``svdb``, ``icentia11k`` or ``cpsc2021``

    Raises
    ------
    DataError
        For a set or record that is missing or damaged, or a set of another form.
    """
    if name not in _ANNOTATORS:
        raise DataError(f"data set {name!r}", f"one of {' '.join(_ANNOTATORS)}")
    with open_set(root, name) as archive:
        paths = headers(archive, name) if name in _IN_PARTS else record_names(archive, name)
        for path in paths:
            record, header = read_record(archive, path, _ANNOTATORS[name], archive.holds(f"{path}.dat"))
            classes = tuple(line for line in header.comments if "atrial fibrillation" in line)
            labels = {"class": classes} if name == CPSC2021.name else {}
            yield with_labels(record, labels, _person(name, record.name))


def _person(name: str, record: str) -> str | None:
    if name == ICENTIA11K.name:
        return record.partition("_")[0]
    if name == CPSC2021.name:
        return record.split("_")[1] if record.count("_") > 1 else record
    return None if name == SVDB.name else record
