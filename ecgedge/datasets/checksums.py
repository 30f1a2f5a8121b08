"""PhysioNet's list of files and checksums, ``SHA256SUMS.txt``, and which of its files are wanted."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from ecgedge.errors import DataError, UsageError

LIST = "SHA256SUMS.txt"
_LINE = re.compile(r"([0-9a-f]{64}) [ *]?(\S.*)")


def parse_sums(text: str, name: str = LIST) -> dict[str, str]:
    """SHA-256 in hexadecimal, by path within the project.

    Raises
    ------
    DataError
        If a line is none of such a list, or a path leads out of the folder.
    """
    sums: dict[str, str] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        match = _LINE.fullmatch(line)
        if match is None:
            raise DataError(f"{name}: line {line[:60]!r}", "SHA-256 and file name", "Is this PhysioNet?")
        digest, path = match.groups()
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts or "\\" in path or ":" in path:
            raise DataError(f"{name}: file {path[:60]!r}", "a path within the set")
        sums[pure.as_posix()] = digest
    if not sums:
        raise DataError(f"{name}: no files", "a list of files")
    return sums


def chosen(sums: dict[str, str], patterns: Iterable[str]) -> list[str]:
    """Files that match any of the patterns; ``*`` stays within a folder, ``**`` does not.

    Raises
    ------
    UsageError
        If nothing matches.
    """
    patterns = tuple(patterns)
    forms = [re.compile(_regex(pattern)) for pattern in patterns]
    found = sorted(name for name in sums if any(form.fullmatch(name) for form in forms))
    if not found:
        raise UsageError(f"no file of the set matches {' '.join(patterns)!r}", f"one of {LIST}")
    return found


def _regex(pattern: str) -> str:
    parts = re.split(r"(\*\*|\*|\?)", pattern)
    return "".join({"**": ".*", "*": "[^/]*", "?": "[^/]"}.get(part, re.escape(part)) for part in parts)


def sha256(path: Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
