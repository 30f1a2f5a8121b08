"""Which other programs have a device open, as far as the system lets us see (Linux)."""

from __future__ import annotations

import os
from pathlib import Path

PROCESSES = Path("/proc")
_MOST = 3


def holders(device: str, processes: Path = PROCESSES) -> list[str]:
    """Other programs that have a device open, such as ``screen (process 4711)``.

    Those of other users are seen by root only; on systems without ``/proc`` none is.
    """
    wanted, own = os.path.realpath(device), str(os.getpid())
    found = []
    for process in processes.glob("[0-9]*"):
        if process.name != own and _has_open(process / "fd", wanted):
            try:
                name = (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
            except OSError:  # it has ended meanwhile
                continue
            found.append(f"{name} (process {process.name})")
    return sorted(found)


def named(found: list[str]) -> str:
    """Programs in words; empty for none."""
    more = len(found) - _MOST
    return ", ".join(found[:_MOST]) + (f" and {more} more" if more > 0 else "")


def _has_open(folder: Path, wanted: str) -> bool:
    try:
        return any(str(entry.readlink()) == wanted for entry in folder.iterdir())
    except OSError:  # another user's process, or one that has ended
        return False
