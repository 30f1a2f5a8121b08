"""Where results go: said to be of no use before the work begins, not after it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ecgedge.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def usable(folder: Path) -> Path:
    """Look whether a folder can be written, or made; nothing is made yet. Returns it.

    Raises
    ------
    UsageError
        If it cannot.
    """
    at = folder
    while not at.exists() and at != at.parent:
        at = at.parent
    if not at.is_dir() or not os.access(at, os.W_OK | os.X_OK):
        raise UsageError(f"--out {folder}", "a folder that can be written, or made")
    return folder
