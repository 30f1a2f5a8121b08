"""PTB-XL: 21,799 twelve-lead recordings of 10 s with SCP-ECG statements and recommended folds.

Wagner et al. 2020; CC BY 4.0. Labels: ``scp`` (all statements), ``superclass`` (NORM MI STTC CD HYP, of the
diagnostic statements), ``fold`` (1-8 training, 9 validation, 10 test; no person is in two folds). The set
writes the ages above 89 as 300; here they are 90.
"""

from __future__ import annotations

import ast
import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ecgedge.datasets.catalogue import PTBXL, open_set
from ecgedge.datasets.record import Subject
from ecgedge.datasets.wfdb_form import read_record
from ecgedge.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ecgedge.datasets.archive import Archive
    from ecgedge.datasets.record import Record

_FILE = {100: "filename_lr", 500: "filename_hr"}
_OLDEST = 90


def records(root: Path, rate_hz: int = 100) -> Iterator[Record]:
    """All recordings, in order, at 100 or 500 Hz.

    Raises
    ------
    DataError
        For a set, table or record that is missing or damaged, or another rate.
    """
    if rate_hz not in _FILE:
        raise DataError(f"a rate of {rate_hz} Hz", "100 or 500, as the set holds it")
    with open_set(root, PTBXL.name) as archive:
        rows = _table(archive, "ptbxl_database.csv")
        classes = {
            row[""]: row["diagnostic_class"]
            for row in _table(archive, "scp_statements.csv")
            if row.get("diagnostic_class")
        }
        for row in rows:
            try:
                statements = tuple(ast.literal_eval(row["scp_codes"]))
                path = f"{PTBXL.folder}/{row[_FILE[rate_hz]]}"
                subject = _subject(row)
                fold = row["strat_fold"]
            except (KeyError, ValueError, SyntaxError, TypeError) as error:
                raise DataError(
                    f"ptbxl_database.csv: row {row.get('ecg_id')} ({error})", "the whole table"
                ) from None
            superclasses = sorted({classes[code] for code in statements if code in classes})
            labels = {"scp": statements, "superclass": tuple(superclasses), "fold": (fold,)}
            record, _ = read_record(archive, path)
            yield replace(record, subject=subject, labels=labels)


def _subject(row: dict[str, str]) -> Subject:
    age = int(float(row["age"])) if row["age"] else None
    person = str(int(float(row["patient_id"])))
    return Subject(person, None if age is None else min(age, _OLDEST), {"0": "M", "1": "F"}.get(row["sex"]))


def _table(archive: Archive, name: str) -> list[dict[str, str]]:
    text = archive.read(f"{PTBXL.folder}/{name}").decode("utf-8", "replace")
    return list(csv.DictReader(io.StringIO(text)))
