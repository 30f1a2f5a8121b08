"""China Physiological Signal Challenge 2018 in the WFDB form of the PhysioNet/CinC Challenges 2020 and 2021.

Liu et al. 2018, Reyna et al. 2021; CC BY 4.0. Twelve leads, 500 Hz, 6-144 s. Label ``snomed``: the codes of
the header's line ``Dx``; label ``findings``: those that ``FINDINGS`` knows, in words. There are no subject
ids.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ecgedge.datasets.catalogue import CPSC2018, open_set
from ecgedge.datasets.wfdb_form import headers, read_record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ecgedge.datasets.record import Record

FINDINGS = {
    "426783006": "sinus rhythm",
    "164889003": "atrial fibrillation",
    "270492004": "first-degree AV block",
    "164909002": "left bundle branch block",
    "59118001": "right bundle branch block",
    "284470004": "premature atrial contraction",
    "164884008": "ventricular ectopics",
    "429622005": "ST depression",
    "164931005": "ST elevation",
}
"""The nine classes of the challenge, by SNOMED CT code."""


def records(root: Path) -> Iterator[Record]:
    """All recordings, in the order of their names.

    Raises
    ------
    DataError
        For a set or record that is missing or damaged.
    """
    with open_set(root, CPSC2018.name) as archive:
        for path in headers(archive, CPSC2018.folder):
            record, header = read_record(archive, path)
            said = [line.partition(":")[2] for line in header.comments if line.startswith("Dx:")]
            codes = tuple(code.strip() for line in said for code in line.split(",") if code.strip())
            found = tuple(FINDINGS[code] for code in codes if code in FINDINGS)
            yield replace(record, labels={"snomed": codes, "findings": found})
