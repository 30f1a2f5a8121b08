"""What is at a place in the file system.

Where nobody may look, and under a name that no file can have, there is nothing: a question to ``pathlib`` is
an exception there, before Python 3.14.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ecgedge.errors import UsageError


def is_file(path: str | Path) -> bool:
    """Whether a file is there."""
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: str | Path) -> bool:
    """Whether a folder is there."""
    return os.path.isdir(path)  # noqa: PTH112


def absent(path: str | Path) -> str:
    """Why nothing is there, in the system's words; empty where something is."""
    try:
        os.stat(path)  # noqa: PTH116
    except (OSError, ValueError) as error:
        return _reason(error)
    return ""


def home(path: str) -> Path | None:
    """A path that begins with ``~`` in full; None where the system knows no home of this user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return None


def check_folder(said: str, path: Path) -> None:
    """Refuse what cannot be a folder for new files: something else, or what cannot be looked at.

    Parameters
    ----------
    said : what the folder is, for the message

    Raises
    ------
    UsageError
        Naming why.
    """
    try:
        why = "" if stat.S_ISDIR(path.stat().st_mode) else "something else"
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        why = _reason(error)
    if why:
        raise UsageError(f"{said} {path} ({why})", "a folder, or a name for a new one")


def _reason(error: OSError | ValueError) -> str:
    """The system's words; a ValueError is of a name with a NUL."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
