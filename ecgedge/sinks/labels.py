"""What the stream found, in the labels of WFDB annotation files: codes of beats, and rhythms.

A beat is ``A`` or ``V`` where an APC or PVC event was told of it, ``F`` where a model calls it a fusion beat,
and ``N`` otherwise: any other beat, and every beat without a model that classes them. Rhythms are those of
MIT-BIH: ``(AFIB`` for AF episodes; ``(VT`` and ``(SVTA`` for runs of three or more PVCs or APCs, ``(B`` and
``(T`` for ventricular bigeminy and trigeminy, ``(AB`` for atrial bigeminy, all of these outside AF only;
``(N`` elsewhere, which says no more than that nothing was found there.
"""

from __future__ import annotations

from itertools import pairwise
from math import inf

from ecgedge.messages import BeatClass, Ectopic, EctopicRun, Episode

BEAT, FUSION = "N", "F"
CODES = {"APC": "A", "PVC": "V"}
AF, NO_AF = "(AFIB", "(N"
ROWS = {
    ("run", "PVC"): "(VT",
    ("run", "APC"): "(SVTA",
    ("bigeminy", "PVC"): "(B",
    ("trigeminy", "PVC"): "(T",
    ("bigeminy", "APC"): "(AB",
}


def beat_code(message: BeatClass | Ectopic) -> str:
    """Code of a beat by the latest word on it."""
    if isinstance(message, Ectopic):
        return CODES[message.kind]
    return FUSION if message.label == FUSION else BEAT


class RhythmLabels:
    """Keeps AF episodes and rows of ectopic beats, and puts them into labels."""

    def __init__(self) -> None:
        self._episodes: dict[int, float] = {}  # onset: offset, infinite while open
        self._rows: dict[tuple[int, str], int] = {}  # onset and label: one past the last beat

    def push(self, message: Episode | EctopicRun) -> bool:
        """Take the latest word on an episode or row; whether labels may have changed."""
        if isinstance(message, Episode):
            self._episodes[message.onset] = inf if message.state == "open" else message.offset
            return True
        label = ROWS.get((message.kind, message.of))
        if label is None or message.state == "open":
            return False
        self._rows[message.onset, label] = message.offset + 1
        return True

    def within(self, first: int, end: float) -> list[tuple[int, str]]:
        """Changes of rhythm from sample ``first`` up to ``end``, in order; not that it starts with ``(N``."""
        found = [(on, off, AF) for on, off in self._episodes.items() if on < end and off > first]
        apart = [
            (on, off, label)
            for (on, label), off in self._rows.items()
            if on < end and off > first and not any(a < off and b > on for a, b, _ in found)
        ]
        out: list[tuple[int, str]] = []
        for (on, off, label), (then, *_) in pairwise([*sorted([*found, *apart]), (inf, inf, "")]):
            out.append((max(int(on), first), label))
            if off < min(then, end):
                out.append((int(off), NO_AF))
        return out

    def forget(self, before: int) -> None:
        """Drop what ended before a sample."""
        self._episodes = {on: off for on, off in self._episodes.items() if off > before}
        self._rows = {key: off for key, off in self._rows.items() if off > before}
