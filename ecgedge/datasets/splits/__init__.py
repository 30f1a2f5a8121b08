"""Published lists of records for training and testing, kept as they were published.

``cinc2017_dualnet``: train (7000), validation (1528) and the Challenge lists, by record, because the set
has no subject identifiers; A01176 (validation) is an exact duplicate of A00227 (training).
``mitdb_dechazal``: train, test and the paced records, by person but for 201 (train) and 202 (test), who are
one.
"""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

from ecgedge.errors import DataError

_CINC = [f"A{k:05d}" for k in range(1, 8529)]
_REST = {"cinc2017_dualnet": {"train": "validation", "challenge_train": "challenge_validation"}}
"""Parts that are shipped as all records but those of another part."""


def split(root: Path, name: str, *parts: str) -> tuple[list[str], ...]:
    """Record names of the parts; lists of one's own, ``splits/NAME.json`` in the data folder, go first.

    Raises
    ------
    DataError
        If such a file cannot be read, or lacks a part.
    """
    own = root / "splits" / f"{name}.json"
    place: Any = own if own.is_file() else resources.files(__package__) / f"{name}.json"
    try:
        lists = json.loads(place.read_text(encoding="utf-8"))
        return tuple(_part(lists, name, part) for part in parts)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{place} cannot be read ({error})", "the published split") from None


def _part(lists: dict[str, Any], name: str, part: str) -> list[str]:
    names = lists[part]
    complement = _REST.get(name, {}).get(part)
    if complement and not isinstance(names, list):
        out = set(lists[complement])
        return [record for record in _CINC if record not in out]
    if not isinstance(names, list) or not all(isinstance(record, str) for record in names):
        raise TypeError(f"{part} is no list of record names")
    return names
