"""Where results go: said to be of no use before the work begins, where that can be seen."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ecgedge.errors import UsageError
from ecgedge.places import check_folder, is_folder

if TYPE_CHECKING:
    from pathlib import Path

_EXPECTED = "a folder that can be written, or made"


def usable(folder: Path) -> Path:
    """Look whether a folder can be written, or made; nothing is made yet. Returns it.

    Raises
    ------
    UsageError
        If it cannot.
    """
    check_folder("--out", folder)
    at = next(place for place in (folder, *folder.parents) if is_folder(place))
    if not os.access(at, os.W_OK | os.X_OK):
        raise UsageError(f"--out {folder}", _EXPECTED)
    return folder


def made(folder: Path) -> Path:
    """Make a folder where there is none yet. Returns it.

    Raises
    ------
    UsageError
        If it cannot be made or written.
    """
    usable(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {folder} ({error.strerror})", _EXPECTED) from None
    return folder
