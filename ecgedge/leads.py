"""Which column is a lead: by its number, or by the name that a board or a recording gives it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecgedge.errors import UsageError

if TYPE_CHECKING:
    from ecgedge.messages import Board


def find_lead(names: tuple[str, ...], lead: str | int, name: str) -> int:
    """Index of the lead called ``lead`` (a name, else a number from 0).

    Raises
    ------
    UsageError
        Where there is none.
    """
    wanted = str(lead).strip().lower()
    for k, known in enumerate(names):
        if known.lower() == wanted:
            return k
    if wanted.isdecimal() and int(wanted) < len(names):
        return int(wanted)
    known_names = ", ".join(f"{k} ({known})" for k, known in enumerate(names))
    raise UsageError(f"lead {lead!r}", f"one of {known_names} in {name}")


def column(board: Board, lead: str | int) -> int:
    """The column of a board's samples that holds a lead, given by name or number.

    Raises
    ------
    UsageError
        Where the board has no such lead, or gives its leads no names.
    """
    if isinstance(lead, str):
        if board.lead_names:
            return find_lead(board.lead_names, lead, board.name)
        if not lead.strip().isdecimal():
            raise UsageError(f"lead {lead!r}", "a number from 0", f"{board.name}: these leads have no names.")
    number = int(lead)
    if not 0 <= number < board.leads:
        allowed = "0" if board.leads == 1 else f"0 to {board.leads - 1}"
        raise UsageError(f"lead number {number}", allowed, "Leads are counted from 0; see --lead.")
    return number
