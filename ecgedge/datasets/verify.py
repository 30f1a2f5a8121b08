"""Is a set whole, and are its files what they should be?"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ecgedge.datasets.archive import Archive
from ecgedge.datasets.catalogue import DataSet, open_set
from ecgedge.datasets.checksums import LIST, chosen, parse_sums, sha256
from ecgedge.errors import DataError


@dataclass(frozen=True)
class Verified:
    """What was looked at."""

    files: int
    right: int
    """Files whose checksum is the listed one; the others could be read, but no list tells of them."""


def verify(known: DataSet, root: Path) -> Verified:
    """Read every file of a set.

    Raises
    ------
    DataError
        If the set is not there, or a file is missing, damaged, or not what the list says.
    """
    with open_set(root, known.name) as archive:
        sums = _sums(archive, known)
        members = [name for name in archive.members() if not name.endswith((".part", LIST))]
        right, wrong = 0, []
        for member in members:
            listed, digest = sums.get(_bare(known, member)), _digest(archive, member)
            if listed and digest != listed:
                wrong.append(member)
            right += listed == digest
        if wrong:
            raise DataError(
                f"{known.name}: {_some(wrong)} not as {LIST} says",
                "the published files",
                f"Mend it with: ecgedge data fetch {known.name}",
            )
        held = {_bare(known, member) for member in members}
        missing = [name for name in _wanted(sums, known) if name not in held]
        if missing and archive.path.is_dir():
            advice = f"Go on with: ecgedge data fetch {known.name}"
            raise DataError(f"{archive.path} lacks {_some(missing)}", "the whole set", advice)
    return Verified(len(members), right)


def _some(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more files"


def _sums(archive: Archive, known: DataSet) -> dict[str, str]:
    listed = f"{known.folder}/{LIST}"
    if not archive.holds(listed):
        return {}
    return parse_sums(archive.read(listed).decode("utf-8", "replace"), f"{known.name}/{LIST}")


def _wanted(sums: dict[str, str], known: DataSet) -> list[str]:
    return chosen(sums, known.files) if sums and known.files else []


def _bare(known: DataSet, member: str) -> str:
    """A member's path within the project."""
    return member.removeprefix(f"{known.folder}/")


def _digest(archive: Archive, member: str) -> str:
    if archive.path.is_dir():
        try:
            return sha256(archive.path / member)
        except OSError as error:
            raise DataError(f"{archive.path / member} cannot be read ({error.strerror})") from None
    return hashlib.sha256(archive.read(member)).hexdigest()
