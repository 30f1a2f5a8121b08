"""Where results go: a folder that is there and can be written before the work begins."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ecgedge.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def ready(folder: Path) -> Path:
    """Make a folder where there is none; returns it.

    Raises
    ------
    UsageError
        If it cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {folder} ({error.strerror})", "a folder that can be written") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"--out {folder} (no permission)", "a folder that can be written")
    return folder
