"""Records of an archive as files, for what opens a path as a user's recording is opened."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ecgedge.datasets.archive import Archive

ANNOTATED = (".hea", ".dat", ".atr")
SIGNAL = (".hea", ".dat")


def unpack(
    archive: Archive, records: Iterable[str], folder: Path, suffixes: Iterable[str] = ANNOTATED
) -> None:
    """Write records into an existing folder.

    Parameters
    ----------
    records : as the archive names them, such as ``mitdb/100``
    suffixes : of their files
    """
    for record in records:
        for suffix in suffixes:
            (folder / f"{Path(record).name}{suffix}").write_bytes(archive.read(f"{record}{suffix}"))
