"""What the catalogue says of the data sets, and what of them is on this machine, in lines for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from ecgedge.datasets.archive import Archive, NotHereError
from ecgedge.datasets.catalogue import SETS, DataSet, open_set
from ecgedge.datasets.readers import label_counts
from ecgedge.datasets.verify import verify
from ecgedge.errors import DataError

WIDTH = 80
_INDENT = 13
_HEADS = ("Name", "Records", "Length", "Leads", "Hz", "To fetch", "Licence", "Here")
_RIGHT = (1, 3, 5)


def list_lines(root: Path | None) -> Iterator[str]:
    """One line a set; with the folder of the data sets, also what is there: zip, dir, bad (damaged) or -."""
    rows = [_HEADS]
    for known in SETS.values():
        rows.append(
            (
                known.name,
                f"{known.recordings:,}",
                known.length,
                str(known.leads or "-"),
                known.rate,
                size_text(known.size) if known.size else "in parts",
                known.licence,
                _form(known, root),
            )
        )
    widths = [max(len(row[k]) for row in rows) for k in range(len(_HEADS))]
    for row in rows:
        cells = [
            c.rjust(w) if k in _RIGHT else c.ljust(w)
            for k, (c, w) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def info_lines(known: DataSet, root: Path | None, check: bool = False) -> Iterator[str]:
    """All that is known of a set, and, with the folder of the data sets, of its copy there.

    Parameters
    ----------
    check : also read every file and compare it with its checksum

    Raises
    ------
    DataError
        If the copy is damaged, its labels are not as published, or it is to be checked and is not there.
    """
    yield from _wrapped(known.name, known.title)
    records = f"{known.recordings:,} of {known.length}, {known.rate} Hz"
    leads = {0: "", 1: ", 1 lead"}.get(known.leads, f", {known.leads} leads")
    yield from _wrapped("records", records + leads)
    yield from _wrapped("marks", known.marks)
    if known.remark:
        yield from _wrapped("note", known.remark)
    yield from _wrapped("licence", known.licence)
    yield from _wrapped("cite", f"{known.citation}; PhysioNet: Goldberger et al., Circulation 101(23), 2000")
    yield from _wrapped("source", f"https://physionet.org/content/{known.address}")
    if known.files:
        yield from _wrapped("to fetch", f"{size_text(known.size)}: {' '.join(known.files)}")
    for kind, counts in known.counts.items():
        yield from _wrapped("published", f"{kind}: {_counts(counts)}")
    if root is None:
        return
    found = _open(known, root)
    if found is None:
        if check:
            open_set(root, known.name)
        yield from _wrapped("here", f"not in {root}")
        return
    yield from _wrapped("here", str(found.path))
    yield from label_lines(known, root)
    if check:
        seen = verify(known, root)
        yield from _wrapped(
            "checked", f"{seen.files} files can be read, {seen.right} have the listed checksum"
        )


def label_lines(known: DataSet, root: Path) -> Iterator[str]:
    """Numbers of labels on disk.

    Raises
    ------
    DataError
        If they are not the published ones.
    """
    for kind, counts in label_counts(known, root).items():
        published = known.counts.get(kind, {})
        wrong = [label for label, n in published.items() if counts.get(label, 0) != n]
        if wrong:
            label = wrong[0]
            raise DataError(
                f"{known.name}: {counts.get(label, 0)} labels {label!r} in {kind}",
                f"{published[label]} as published",
                f"Mend it with: ecgedge data fetch {known.name}",
            )
        yield from _wrapped("counted", f"{kind}: {_counts({k: counts[k] for k in published})}")


def size_text(size: float) -> str:
    """Bytes in words: 3 significant figures at most."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.1f} {unit}" if unit == "GB" else f"{size:.0f} {unit}"
        size /= 1000
    raise AssertionError


def _counts(counts: Mapping[str, int]) -> str:
    return "  ".join(f"{label} {n}" for label, n in counts.items())


def _form(known: DataSet, root: Path | None) -> str:
    if root is None:
        return ""
    try:
        found = _open(known, root)
    except DataError:
        return "bad"
    return "-" if found is None else "dir" if found.path.is_dir() else "zip"


def _open(known: DataSet, root: Path) -> Archive | None:
    try:
        with open_set(root, known.name) as archive:
            return archive
    except NotHereError:
        return None


def _wrapped(head: str, text: str) -> Iterable[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=head.ljust(_INDENT),
        subsequent_indent=" " * _INDENT,
        break_on_hyphens=False,
    )
